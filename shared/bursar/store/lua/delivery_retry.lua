-- Tries a message again, now and before all others: one that was given up, or one that waits.
-- KEYS: workspace audit webhooks index state due messages dead
-- ARGV: webhook ref id give_up_ms audit_body
-- Returns {'ok'} | {'no_webhook'} | {'no_message'} | {'webhook_paused', by}
-- include: clock
-- include: args
-- include: messages
-- include: audit
local workspace, log, webhooks, index = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local e = {state = KEYS[5], due = KEYS[6], messages = KEYS[7], dead = KEYS[8]}
local webhook, ref, id, give_up_ms, audit_body = take(), take(), take(), tonumber(take()), take()
if redis.call('HEXISTS', webhooks, webhook) == 0 then return {'no_webhook'} end
if redis.call('HEXISTS', e.messages, id .. ':until') == 0 then return {'no_message'} end
local paused = redis.call('HGET', e.state, 'paused') or ''
if paused ~= '' then return {'webhook_paused', paused} end
redis.call('ZREM', e.dead, id)
redis.call('HDEL', e.messages, id .. ':tries', id .. ':why')
put_in_line(e, id, now + give_up_ms, true, now)
redis.call('ZADD', index, now, ref)
audit(workspace, log, now, audit_body)
return {'ok'}
