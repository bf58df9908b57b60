-- What the scripts of questions have in common; all have the same first twenty-six KEYS. `told` is the
-- body of an event.
-- include: state
-- include: audit
-- include: events
-- include: lease
local inbox, ready, workspace, log, feed, outbox = KEYS[14], KEYS[15], KEYS[16], KEYS[17], KEYS[18], KEYS[19]
local approval, approvals, open, timers, repeats = KEYS[20], KEYS[21], KEYS[22], KEYS[23], KEYS[24]
local effects, grants = KEYS[25], KEYS[26]
-- Says it to who follows the session or the workspace, and to its webhooks. Returns how many heard it.
local function tell(kind, told, log_max, now)
  local _, heard = emit(session, events, log_max, now, {kind, told})
  local seq, listening = append(workspace, feed, log_max, now, {kind, told})
  local w = redis.call('HMGET', workspace, 'webhooks', 'id')
  if w[1] and w[1] ~= '0' then
    redis.call('XADD', outbox, '*', 'ws', w[2], 'kind', kind,
      'd', extend(told, string.format('"seq":%d,"at_ms":%d', seq, now)))
  end
  return heard + listening
end
-- Takes a question off the lists of those that are open.
local function take_off(id, timer, repeat_key, state)
  redis.call('ZREM', approvals, id)
  redis.call('SREM', open, id)
  redis.call('ZREM', timers, timer)
  if redis.call('HGET', repeats, repeat_key) == id then
    redis.call('HDEL', repeats, repeat_key, id .. ':again')
  end
  count('approvals:open', -1)
  count('approvals:' .. state, 1)
end
-- The news becomes an inbox item like any other. Returns what its session's driver is to be told by;
-- one that has ended hears nothing more.
local function wake(ref, tid, now)
  local s = redis.call('HMGET', session, 'agent', 'priority', 'epoch', 'lease_until_ms', 'worker', 'state')
  if not s[6] or s[6] == 'ended' then return {'rest', '', '', '', '0', '0'} end
  local inbox_seq = redis.call('HINCRBY', session, 'inbox_seq', 1)
  redis.call('RPUSH', inbox, string.format('%d approval ', inbox_seq) .. tid)
  if tonumber(s[4]) > now then return {'held', s[5], s[1], s[2], s[3], tostring(inbox_seq)} end
  make_ready(session, ready, ref, now)
  return {'ring', '', s[1], s[2], s[3], tostring(inbox_seq)}
end
