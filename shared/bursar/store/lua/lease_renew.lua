-- Keeps a lease and tells the driver whether its inbox grew since (a cancel, another input).
-- KEYS: session leases ready
-- ARGV: ref epoch owner lease_ms
-- Returns {'ok', inbox_seq} | {'fenced'}
-- flags: allow-oom
-- include: clock
local session, leases, ready = KEYS[1], KEYS[2], KEYS[3]
local ref, epoch, owner, lease_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local s = redis.call('HMGET', session, 'epoch', 'owner', 'lease_until_ms', 'inbox_seq')
if s[1] ~= epoch or s[2] ~= owner or s[3] == '0' then return {'fenced'} end
redis.call('HSET', session, 'lease_until_ms', now + lease_ms)
redis.call('ZADD', leases, now + lease_ms, ref)
redis.call('ZREM', ready, ref)
return {'ok', s[4]}
