-- What the scripts of messages to webhooks have in common. A message is a field of `messages` with its
-- body, and beside it `:tries`, `:until` (0: it is tried once) and `:why` it was given up.
-- `e` has the keys of an endpoint: state due messages dead.
-- include: log
local function forget(e, id)
  redis.call('ZREM', e.due, id)
  redis.call('ZREM', e.dead, id)
  redis.call('HDEL', e.messages, id, id .. ':tries', id .. ':until', id .. ':why')
end
-- Gives a message up: it is kept with the dead ones, the oldest of which go, and the feed says so.
local function bury(e, id, why, feed, now)
  if redis.call('HGET', e.messages, id .. ':until') == '0' then return forget(e, id) end
  local tries = redis.call('HGET', e.messages, id .. ':tries') or '0'
  redis.call('ZREM', e.due, id)
  redis.call('ZADD', e.dead, now, id)
  redis.call('HSET', e.messages, id .. ':why', why)
  for _, old in ipairs(redis.call('ZRANGE', e.dead, 0, -1 - feed.dead_max)) do forget(e, old) end
  append(feed.counter, feed.events, feed.log_max, now, {'webhook.failed',
    extend(feed.told, string.format('"message":"%s","tries":%s,"why":"%s"', id, tries, why))})
end
-- One that has to be sent is in line behind those that came before, an urgent one before all others.
local function put_in_line(e, id, until_ms, urgent, now)
  redis.call('HSET', e.messages, id .. ':until', string.format('%d', until_ms))
  redis.call('ZADD', e.due, urgent and 0 or now, id)
  -- Whoever asks for it wants to know now whether the endpoint answers.
  if urgent then redis.call('HSET', e.state, 'open_until_ms', 0) end
end
