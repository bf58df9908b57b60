-- Removes an endpoint with all that waits for it.
-- KEYS: workspace audit webhooks secrets index state due messages dead attempts
-- ARGV: webhook ref audit_body
-- Returns {'ok'} | {'no_webhook'}
-- durable
-- flags: allow-oom
-- include: clock
-- include: args
-- include: audit
local workspace, log, webhooks, secrets, index = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local webhook, ref, audit_body = take(), take(), take()
if redis.call('HDEL', webhooks, webhook) == 0 then return {'no_webhook'} end
redis.call('HSET', workspace, 'webhooks', redis.call('HLEN', webhooks))
redis.call('HDEL', secrets, webhook)
redis.call('ZREM', index, ref)
for i = 6, 10 do redis.call('DEL', KEYS[i]) end
audit(workspace, log, now, audit_body)
return {'ok'}
