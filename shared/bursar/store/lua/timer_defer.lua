-- Puts off a timer that is due, so that whoever did so has that long to deal with it alone.
-- KEYS: timers
-- ARGV: member for_ms
-- Returns {'ok'} | {'no'}
-- flags: allow-oom
-- include: clock
local timers = KEYS[1]
local member, for_ms = ARGV[1], tonumber(ARGV[2])
local due = redis.call('ZSCORE', timers, member)
if not due or tonumber(due) > now then return {'no'} end
redis.call('ZADD', timers, 'XX', now + for_ms, member)
return {'ok'}
