-- Hands an event over to the endpoints that want it and takes it out of the outbox, in one step: so it
-- reaches each of them once, whoever dies when. An endpoint that is paused or gone by now gets nothing.
-- KEYS: outbox workspace feed webhooks index endpoint_key*
-- ARGV: entry id give_up_ms urgent max dead_max log_max n (webhook ref body told)*
--       endpoint_key: of each endpoint its state, due, messages and dead; id: of the message
--       give_up_ms: how long it is tried, 0 for once; max: messages in a line
--       told: body of webhook.failed for that endpoint
-- Returns {'ok', count} | {'gone'}
-- include: clock
-- include: args
-- include: messages
local outbox, workspace, events, webhooks, index = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local entry, id, give_up_ms, urgent = take(), take(), tonumber(take()), take() == '1'
local max, feed = tonumber(take()), {counter = workspace, events = events, dead_max = take(), log_max = take()}
local list = take_list(4)
if #redis.call('XRANGE', outbox, entry, entry) == 0 then return {'gone'} end
local count = 0
for i = 0, #list / 4 - 1 do
  local webhook, ref, body = list[i * 4 + 1], list[i * 4 + 2], list[i * 4 + 3]
  feed.told = list[i * 4 + 4]
  local e = {state = KEYS[i * 4 + 6], due = KEYS[i * 4 + 7], messages = KEYS[i * 4 + 8], dead = KEYS[i * 4 + 9]}
  local paused = redis.call('HGET', e.state, 'paused') or ''
  if redis.call('HEXISTS', webhooks, webhook) == 1 and paused == '' then
    count = count + 1
    local full = redis.call('ZCARD', e.due) >= max
    redis.call('HSET', e.messages, id, body)
    put_in_line(e, id, give_up_ms == 0 and 0 or now + give_up_ms, urgent, now)
    if full then bury(e, id, 'too_many', feed, now) end
    redis.call('ZADD', index, now, ref)
  end
end
redis.call('XDEL', outbox, entry)
return {'ok', count}
