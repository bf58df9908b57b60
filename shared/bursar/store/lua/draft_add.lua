-- Adds messages from outside to the end of a draft, which becomes a session's history.
-- KEYS: draft
-- ARGV: start ttl_ms message*
-- Returns {'ok', length of the draft}
-- A draft that is not as long as `start` is left as it is: the piece is in it already, or it took so
-- long that the draft went.
-- include: args
local draft = KEYS[1]
local start, ttl_ms = tonumber(take()), take()
local length = redis.call('LLEN', draft)
if length == start then
  length = redis.call('RPUSH', draft, unpack(ARGV, 3))
  redis.call('PEXPIRE', draft, ttl_ms)
end
return {'ok', string.format('%d', length)}
