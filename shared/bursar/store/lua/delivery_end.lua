-- Records how an endpoint answered a message. What it took is done, whoever brought it; anything else
-- counts only from the one that has the endpoint now, because others may be trying again already.
-- KEYS: workspace audit feed webhooks index state due messages dead attempts
-- ARGV: webhook ref owner id outcome why delay_ms threshold pause_ms pause_max_ms dead_max log_max
--       attempts_max told attempt gone_audit
--       outcome: delivered, failed or gone (it wants no more); why: word for a failure
--       delay_ms: until the next try; pause_ms: of an endpoint that failed `threshold` times in a row,
--       doubling each time; attempt: body of the entry in `attempts`
-- Returns {'ok', 'good' | 'bad'} | {'ended'} | {'fenced'} | {'gone'}
--         good: more can be sent to it now
-- include: clock
-- include: args
-- include: messages
-- include: audit
local workspace, log, events, webhooks, index = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local e = {state = KEYS[6], due = KEYS[7], messages = KEYS[8], dead = KEYS[9], attempts = KEYS[10]}
local webhook, ref, owner, id, outcome, why = take(), take(), take(), take(), take(), take()
local delay_ms, threshold = tonumber(take()), tonumber(take())
local pause_ms, pause_max_ms = tonumber(take()), tonumber(take())
local feed = {counter = workspace, events = events, dead_max = take(), log_max = take()}
local attempts_max, told, attempt, gone_audit = take(), take(), take(), take()
feed.told = told
if redis.call('HEXISTS', webhooks, webhook) == 0 then return {'gone'} end
local m = redis.call('HMGET', e.messages, id .. ':until', id .. ':tries')
if not m[1] then return {'ended'} end
local s = redis.call('HMGET', e.state, 'owner', 'open_until_ms', 'paused')
if outcome ~= 'delivered' and s[1] ~= owner then return {'fenced'} end
local tries, until_ms = tonumber(m[2] or 0) + 1, tonumber(m[1])
redis.call('XADD', e.attempts, 'MAXLEN', '~', attempts_max, '*',
  'd', extend(attempt, string.format('"number":%d,"at_ms":%d', tries, now)))
if outcome == 'delivered' then
  forget(e, id)
  redis.call('HSET', e.state, 'failures', 0, 'trips', 0, 'open_until_ms', 0, 'delivered_ms', now)
  redis.call('HINCRBY', e.state, 'delivered', 1)
  return {'ok', 'good'}
end
redis.call('HSET', e.messages, id .. ':tries', tries)
redis.call('HSET', e.state, 'failed_ms', now, 'failed_why', why)
local failures = redis.call('HINCRBY', e.state, 'failures', 1)
if now + delay_ms > until_ms then
  bury(e, id, why, feed, now)
else
  redis.call('ZADD', e.due, now + delay_ms, id)
end
if outcome == 'gone' then
  if (s[3] or '') == '' then
    redis.call('HSET', e.state, 'paused', 'gone')
    audit(workspace, log, now, gone_audit)
  end
  return {'ok', 'bad'}
end
if failures < threshold then return {'ok', 'good'} end
if tonumber(s[2] or 0) <= now then
  local trips = redis.call('HINCRBY', e.state, 'trips', 1)
  local pause = math.min(pause_ms * 2 ^ math.min(trips - 1, 20), pause_max_ms)
  redis.call('HSET', e.state, 'open_until_ms', string.format('%d', now + pause))
end
return {'ok', 'bad'}
