-- What is to be done for webhooks in one shard: events that nobody handed over, endpoints that are due.
-- KEYS: outbox index
-- ARGV: limit
-- Returns {'ok', {{entry, {field, value, …}}, …}, {ref, …}}, at most `limit` of both
-- include: clock
local outbox, index = KEYS[1], KEYS[2]
return {'ok', redis.call('XRANGE', outbox, '-', '+', 'COUNT', ARGV[1]),
  redis.call('ZRANGEBYSCORE', index, '-inf', now, 'LIMIT', 0, ARGV[1])}
