-- Ends a session: at once when nothing is under way, else as soon as its accepted inputs are done.
-- KEYS: session events stats ws_stats idle queued running waiting ended
-- ARGV: sid event log_max log_ttl_ms
-- Returns {'ended'} | {'ending'} | {'already'} | {'gone'}
-- include: clock
-- include: state
-- include: events
local sid, event, log_max, log_ttl_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local s = redis.call('HMGET', session, 'id', 'state')
if not s[1] then return {'gone'} end
if s[2] == 'ended' then return {'already'} end
redis.call('HSET', session, 'ending', 1)
if s[2] ~= 'idle' then return {'ending'} end
set_state(sid, 'idle', 'ended', now)
count('sessions:live', -1)
emit(session, events, log_max, now, {'session.ended', event})
redis.call('PEXPIRE', events, log_ttl_ms)
return {'ended'}
