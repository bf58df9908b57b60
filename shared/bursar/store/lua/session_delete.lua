-- Deletes a session that is idle or ended and has no money pending. Its ledger entries stay.
-- KEYS: session events tree tree_log stats ws_stats idle queued running waiting ended live tree_blocked
--       text inbox messages effects account sessions user path waiters workspace audit open allowances
--       members joins jobs
-- ARGV: sid event audit_body
-- Returns {'ok'} | {'gone'} | {'busy'} | {'pending', microusd} |
--         {'has_children', how many}
-- include: clock
-- include: state
-- include: audit
local workspace, log = KEYS[23], KEYS[24]
local sid, event, audit_body = ARGV[1], ARGV[2], ARGV[3]
local s = redis.call('HMGET', session, 'id', 'state', 'event_seq')
if not s[1] then return {'gone'} end
if s[2] ~= 'idle' and s[2] ~= 'ended' then return {'busy'} end
local pending = redis.call('HGET', KEYS[18], 'pending')
if pending and pending ~= '0' then return {'pending', pending} end
if tree == session then
  local below = redis.call('ZCARD', KEYS[27])
  if below > 0 then return {'has_children', string.format('%d', below)} end
end
audit(workspace, log, now, audit_body)
count('sessions:' .. s[2], -1)
if s[2] ~= 'ended' then count('sessions:live', -1) end
redis.call('ZREM', states[s[2]], sid)
for i = 19, 21 do redis.call('ZREM', KEYS[i], sid) end
redis.call('ZREM', KEYS[29], sid)
redis.call('DEL', session, events, KEYS[14], KEYS[15], KEYS[16], KEYS[17], KEYS[18], KEYS[22], KEYS[25],
  KEYS[26], KEYS[28])
if tree == session then
  redis.call('DEL', tree_log, tree_blocked)
else
  redis.call('SREM', live, sid)
  redis.call('ZREM', KEYS[27], sid)
end
-- The log is gone, so open streams learn of the end from the channel alone.
local seq = tonumber(s[3]) + 1
redis.call('PUBLISH', events, string.format('%d session.ended ', seq)
  .. extend(event, string.format('"seq":%d,"at_ms":%d', seq, now)))
return {'ok'}
