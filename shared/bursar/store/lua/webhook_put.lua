-- Makes an endpoint that is told of events, or changes one. A changed one is tried again at once.
-- KEYS: workspace audit webhooks secrets index state due
-- ARGV: webhook ref expected body secret paused max audit_body
--       expected: the endpoint as the caller read it, empty for a new one; secret: of a new one
--       paused: by whom it is paused, `no` to end that, empty to leave it
-- Returns {'ok'} | {'no_workspace'} | {'no_webhook'} | {'webhook_changed'} | {'too_many_webhooks', max}
-- durable
-- include: clock
-- include: args
-- include: audit
local workspace, log, webhooks, secrets = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local index, state, due = KEYS[5], KEYS[6], KEYS[7]
local webhook, ref, expected, body, secret, paused = take(), take(), take(), take(), take(), take()
local max, audit_body = take(), take()
if redis.call('EXISTS', workspace) == 0 then return {'no_workspace'} end
local present = redis.call('HGET', webhooks, webhook)
if expected == '' then
  if present then return {'webhook_changed'} end
  if redis.call('HLEN', webhooks) >= tonumber(max) then return {'too_many_webhooks', max} end
  redis.call('HSET', secrets, webhook, secret)
else
  if not present then return {'no_webhook'} end
  if present ~= expected then return {'webhook_changed'} end
end
redis.call('HSET', webhooks, webhook, body)
redis.call('HSET', workspace, 'webhooks', redis.call('HLEN', webhooks))
redis.call('HSET', state, 'failures', 0, 'trips', 0, 'open_until_ms', 0)
if paused ~= '' then redis.call('HSET', state, 'paused', paused == 'no' and '' or paused) end
if (redis.call('HGET', state, 'paused') or '') ~= '' then
  redis.call('ZREM', index, ref)
elseif redis.call('ZCARD', due) > 0 then
  redis.call('ZADD', index, now, ref)
end
audit(workspace, log, now, audit_body)
return {'ok'}
