-- Adds an API key or takes one away, and says so in the installation's audit log.
-- KEYS: api_keys install audit
-- ARGV: key_id value audit_body
--       value: what is stored of it; empty takes it away
-- Returns {'ok'} | {'no_key'}
-- include: clock
-- include: audit
local api_keys, install, log = KEYS[1], KEYS[2], KEYS[3]
local key_id, value, body = ARGV[1], ARGV[2], ARGV[3]
if value == '' and redis.call('HEXISTS', api_keys, key_id) == 0 then return {'no_key'} end
audit(install, log, now, body)
if value == '' then
  redis.call('HDEL', api_keys, key_id)
else
  redis.call('HSET', api_keys, key_id, value)
end
return {'ok'}
