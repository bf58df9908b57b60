-- Takes the right to drive one session and reads all that its driver needs to go on.
-- KEYS: session events stats ws_stats idle queued running waiting ended inbox effects leases ready
--       workspace blocked_paused blocked_cap blocked
-- ARGV: sid ref owner worker lease_ms
-- Returns {'ok', epoch, takeover, {session fields}, {inbox items}, {effects}} |
--   {'gone'} | {'held', worker} | {'idle'} | {'blocked', why}
-- A claim of the same owner again (lost reply) answers as the first did.
-- include: clock
-- include: args
-- include: state
-- include: lease
local inbox, effects, leases, ready, workspace = KEYS[10], KEYS[11], KEYS[12], KEYS[13], KEYS[14]
local blocked_paused, blocked_cap, blocked = KEYS[15], KEYS[16], KEYS[17]
local sid, ref, owner, worker, lease_ms = take(), take(), take(), take(), tonumber(take())

local s = redis.call('HMGET', session, 'id', 'state', 'owner', 'lease_until_ms', 'worker', 'epoch',
  'inbox_seq', 'seen_seq', 'takeover')
if not s[1] then
  redis.call('ZREM', ready, ref)
  redis.call('ZREM', leases, ref)
  return {'gone'}
end
local state, lease_until = s[2], tonumber(s[4])
local again = s[3] == owner and lease_until > now
if not again and lease_until > now then
  redis.call('ZREM', ready, ref)
  return {'held', s[5]}
end
local takeover = lease_until > 0
if again then takeover = s[9] == '1' end
if not again then
  local news = redis.call('LLEN', inbox) > 0
  if state == 'waiting' then news = tonumber(s[7]) > tonumber(s[8]) end
  if state ~= 'running' and not news then
    redis.call('ZREM', ready, ref)
    return {'idle'}
  end
  local caps = redis.call('HMGET', workspace, 'paused', 'max_running')
  local why, list
  if caps[1] == '1' then
    why, list = 'paused', blocked_paused
  elseif caps[2] ~= 'unlimited' and not takeover
    and tonumber(redis.call('HGET', ws_stats, 'leases') or 0) >= tonumber(caps[2]) then
    why, list = 'cap', blocked_cap
  end
  if why then
    if takeover then release_lease(session, leases, ws_stats, ref) end
    redis.call('ZREM', ready, ref)
    block(session, blocked, list, why, ref, now)
    return {'blocked', why}
  end
  redis.call('HSET', session, 'epoch', tonumber(s[6]) + 1, 'owner', owner, 'worker', worker,
    'lease_until_ms', now + lease_ms, 'append_no', 0, 'blocked', '',
    'takeover', takeover and 1 or 0)
  if takeover then
    redis.call('HINCRBY', session, 'attempts', 1)
  else
    redis.call('HINCRBY', ws_stats, 'leases', 1)
  end
  redis.call('ZADD', leases, now + lease_ms, ref)
  redis.call('ZREM', ready, ref)
  set_state(sid, state, 'running', now)
end
return {'ok', redis.call('HGET', session, 'epoch'), takeover and '1' or '0',
  redis.call('HGETALL', session), redis.call('LRANGE', inbox, 0, -1), redis.call('HGETALL', effects)}
