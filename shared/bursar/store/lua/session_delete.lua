-- Deletes a session that is idle or ended and has no money pending. Its ledger entries stay.
-- KEYS: session events stats ws_stats idle queued running waiting ended text inbox messages effects
--       account sessions user path waiters workspace audit open allowances
-- ARGV: sid event audit_body
-- Returns {'ok'} | {'gone'} | {'busy'} | {'pending', microusd}
-- include: clock
-- include: state
-- include: audit
local workspace, log = KEYS[19], KEYS[20]
local sid, event, audit_body = ARGV[1], ARGV[2], ARGV[3]
local s = redis.call('HMGET', session, 'id', 'state', 'event_seq')
if not s[1] then return {'gone'} end
if s[2] ~= 'idle' and s[2] ~= 'ended' then return {'busy'} end
local pending = redis.call('HGET', KEYS[14], 'pending')
if pending and pending ~= '0' then return {'pending', pending} end
audit(workspace, log, now, audit_body)
count('sessions:' .. s[2], -1)
if s[2] ~= 'ended' then count('sessions:live', -1) end
redis.call('ZREM', states[s[2]], sid)
for i = 15, 17 do redis.call('ZREM', KEYS[i], sid) end
redis.call('DEL', session, events, KEYS[10], KEYS[11], KEYS[12], KEYS[13], KEYS[14], KEYS[18], KEYS[21],
  KEYS[22])
-- The log is gone, so open streams learn of the end from the channel alone.
local seq = tonumber(s[3]) + 1
redis.call('PUBLISH', events, string.format('%d session.ended ', seq)
  .. extend(event, string.format('"seq":%d,"at_ms":%d', seq, now)))
return {'ok'}
