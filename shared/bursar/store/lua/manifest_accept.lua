-- Accepts a tool of an MCP server as it was last seen: what is recorded of it becomes that.
-- KEYS: manifests seen install audit
-- ARGV: field expected accepted audit_body
-- `expected` is what was seen of it when somebody decided; `accepted` what is recorded instead.
-- Returns {'ok'} | {'no_change'} | {'changed_again'}
-- durable
-- include: clock
-- include: args
-- include: audit
local manifests, seen, install, log = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local field, expected, accepted, audit_body = take(), take(), take(), take()
local found = redis.call('HGET', seen, field)
if not found then return {'no_change'} end
if found ~= expected then return {'changed_again'} end
audit(install, log, now, audit_body)
redis.call('HSET', manifests, field, accepted)
redis.call('HDEL', seen, field)
return {'ok'}
