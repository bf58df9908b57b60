-- Gives an endpoint a new secret beside the old one.
-- KEYS: workspace audit webhooks secrets
-- ARGV: webhook expected secrets_body audit_body
--       expected: its secrets as the caller read them
-- Returns {'ok'} | {'no_webhook'} | {'webhook_changed'}
-- durable
-- include: clock
-- include: args
-- include: audit
local workspace, log, webhooks, secrets = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local webhook, expected, secrets_body, audit_body = take(), take(), take(), take()
if redis.call('HEXISTS', webhooks, webhook) == 0 then return {'no_webhook'} end
if redis.call('HGET', secrets, webhook) ~= expected then return {'webhook_changed'} end
redis.call('HSET', secrets, webhook, secrets_body)
audit(workspace, log, now, audit_body)
return {'ok'}
