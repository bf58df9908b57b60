-- Ends a capability, and with it all that were derived from it: they name it, and whoever uses or
-- derives one looks here.
-- KEYS: workspace audit capabilities revoked timers
-- ARGV: id record timer until_ms audit_body
--       record: JSON; until_ms: when it may be forgotten, as none of its line is valid any more
-- Returns {'ok'} | {'no_capability'} | {'capability_revoked', id}
-- durable
-- include: clock
-- include: args
-- include: audit
local workspace, log, capabilities, revoked, timers = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local id, record, timer, until_ms, audit_body = take(), take(), take(), take(), take()
if redis.call('HEXISTS', revoked, id) == 1 then return {'capability_revoked', id} end
if redis.call('HDEL', capabilities, id) == 0 then return {'no_capability'} end
redis.call('HSET', revoked, id, record)
redis.call('ZADD', timers, until_ms, timer)
redis.call('HINCRBY', workspace, 'gate_version', 1)
audit(workspace, log, now, audit_body)
return {'ok'}
