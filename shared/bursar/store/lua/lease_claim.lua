-- Takes the right to drive one session and reads all that its driver needs to go on. If the bell said
-- which turn it is about, and that is the next one, the turn begins here and now.
-- KEYS: session events tree tree_log stats ws_stats idle queued running waiting ended live tree_blocked
--       inbox effects leases ready workspace blocked_paused blocked_cap blocked turn messages timers
-- ARGV: sid ref owner worker lease_ms take_over alone item tid event log_max tree_cap n
--       agent*
--       take_over: whether a lease that ran out may be taken; alone: whether the worker has room for
--       a session that took down two workers in a row, as the only one of its kind; agents that the worker serves; item, tid and event (without its agent) empty for no turn
-- Returns {'ok', epoch, takeover, {session fields}, {inbox items}, {effects}} |
--   {'gone'} | {'held', worker} | {'idle'} | {'unserved', agent} |
--   {'suspect'} | {'blocked', why}
-- A claim of the same owner again (lost reply) answers as the first did.
-- include: clock
-- include: args
-- include: state
-- include: start
-- include: events
-- include: lease
local inbox, effects, leases, ready, workspace = KEYS[14], KEYS[15], KEYS[16], KEYS[17], KEYS[18]
local blocked_paused, blocked_cap, blocked = KEYS[19], KEYS[20], KEYS[21]
local turn, messages, timers = KEYS[22], KEYS[23], KEYS[24]
local sid, ref, owner, worker, lease_ms = take(), take(), take(), take(), tonumber(take())
local may_take_over, alone, item, tid, event, log_max = take(), take(), take(), take(), take(), take()
local tree_cap, agents = tonumber(take()), take_list(1)
local function serves(agent)
  for _, each in ipairs(agents) do
    if each == agent then return true end
  end
  return false
end

local s = redis.call('HMGET', session, 'id', 'state', 'owner', 'lease_until_ms', 'worker', 'epoch',
  'inbox_seq', 'seen_seq', 'takeover', 'agent', 'turn', 'cancelling', 'attempts', 'blocked')
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
  -- Sessions of a worker that died come back together. The one that killed it must not take the
  -- others with it a third time; one that did so three times is not run again anyway.
  local attempts = tonumber(s[13]) + (takeover and 1 or 0)
  if attempts == 2 and alone ~= '1' then return {'suspect'} end
  if takeover and may_take_over ~= '1' then return {'held', s[5]} end
  -- A turn that is to be cancelled waits for nothing: any worker can end it.
  local cancelling = s[12] == '1'
  -- It stays ready: the sweeper rings where the agent is served.
  if not cancelling and not serves(s[10]) then return {'unserved', s[10]} end
  local caps = redis.call('HMGET', workspace, 'paused', 'max_running')
  local why, list
  local place = now
  if cancelling then
    why = nil
  elseif caps[1] == '1' then
    why, list = 'paused', blocked_paused
  elseif tree ~= session and not takeover
    and tonumber(redis.call('HGET', tree, 'tree_running') or 0) >= tree_cap then
    why, list = 'tree', tree_blocked
  elseif caps[2] ~= 'unlimited' and not takeover
    and tonumber(redis.call('HGET', ws_stats, 'leases') or 0) >= tonumber(caps[2]) then
    why, list = 'cap', blocked_cap
    place = redis.call('ZSCORE', blocked_cap, ref) or place_in_line(workspace, tree)
  end
  if why then
    if takeover then release_lease(session, tree, leases, ws_stats, ref) end
    redis.call('ZREM', ready, ref)
    block(session, blocked, list, why, ref, place, now)
    return {'blocked', why}
  end
  -- A place that comes free is offered to the first of a line, which must want it.
  local line = ({paused = blocked_paused, tree = tree_blocked, cap = blocked_cap})[s[14]]
  if line then unblock(session, blocked, line, ref) end
  redis.call('HSET', session, 'epoch', tonumber(s[6]) + 1, 'owner', owner, 'worker', worker,
    'lease_until_ms', now + lease_ms, 'append_no', 0, 'blocked', '',
    'takeover', takeover and 1 or 0)
  if takeover then
    redis.call('HINCRBY', session, 'attempts', 1)
  else
    redis.call('HINCRBY', ws_stats, 'leases', 1)
    if tree ~= session then redis.call('HINCRBY', tree, 'tree_running', 1) end
  end
  redis.call('ZADD', leases, now + lease_ms, ref)
  redis.call('ZREM', ready, ref)
  set_state(sid, state, 'running', now)
  if tid ~= '' and s[11] == '' and redis.call('LINDEX', inbox, 0) == item then
    local t = redis.call('HMGET', turn, 'state', 'input')
    if t[1] == 'queued' then
      begin_turn(ref, inbox, turn, messages, timers, item, tid, t[2], now)
      emit(session, events, log_max, now, {'turn.started', extend(event, '"agent":"' .. s[10] .. '"')})
    end
  end
end
return {'ok', redis.call('HGET', session, 'epoch'), takeover and '1' or '0',
  redis.call('HGETALL', session), redis.call('LRANGE', inbox, 0, -1), redis.call('HGETALL', effects)}
