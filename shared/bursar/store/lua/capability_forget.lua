-- Forgets a capability that expired long ago: the token, its use and its revocation. Until then these
-- keep anybody from bringing it back.
-- KEYS: capabilities revoked used timers
-- ARGV: id timer
-- Returns {'ok'} | {'not_due'}
-- flags: allow-oom
-- include: clock
local capabilities, revoked, used, timers = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, timer = ARGV[1], ARGV[2]
local due = redis.call('ZSCORE', timers, timer)
if not due or tonumber(due) > now then return {'not_due'} end
redis.call('ZREM', timers, timer)
redis.call('HDEL', capabilities, id)
redis.call('HDEL', revoked, id)
redis.call('HDEL', used, id)
return {'ok'}
