-- A parked turn's time has come: its wish to wake becomes an inbox item like any other.
-- KEYS: session timers inbox ready
-- ARGV: member ref tid
-- Returns {'ring', agent, priority, epoch, inbox_seq} | {'kept'}
-- include: clock
-- include: lease
local session, timers, inbox, ready = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local member, ref, tid = ARGV[1], ARGV[2], ARGV[3]
local due = redis.call('ZSCORE', timers, member)
if not due or tonumber(due) > now then return {'kept'} end
redis.call('ZREM', timers, member)
local s = redis.call('HMGET', session, 'id', 'turn', 'agent', 'epoch', 'lease_until_ms', 'priority')
if not s[1] or s[2] ~= tid then return {'kept'} end
local inbox_seq = redis.call('HINCRBY', session, 'inbox_seq', 1)
redis.call('RPUSH', inbox, string.format('%d timer ', inbox_seq) .. tid)
if tonumber(s[5]) > now then return {'kept'} end
make_ready(session, ready, ref, now)
return {'ring', s[3], s[6], s[4], tostring(inbox_seq)}
