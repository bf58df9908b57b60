-- Copies a piece of a session's history to the end of a draft, which becomes another one's history. A
-- history only grows, so pieces copied one after the other are a history as it was.
-- KEYS: session messages draft
-- ARGV: created_ms start stop max_bytes ttl_ms
-- Returns {'ok', length of the draft} | {'gone'}
-- 'gone': the session was deleted, and perhaps another one made under its id. A draft that is not as
-- long as `start` is left as it is: the piece is in it already, or it took so long that the draft went.
local session, messages, draft = KEYS[1], KEYS[2], KEYS[3]
local start, stop, max_bytes = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
if redis.call('HGET', session, 'created_ms') ~= ARGV[1] then return {'gone'} end
local length, bytes = redis.call('LLEN', draft), 0
if length ~= start then return {'ok', string.format('%d', length)} end
while length < stop and bytes < max_bytes do
  local part = redis.call('LRANGE', messages, length, math.min(length + 8, stop) - 1)
  if #part == 0 then break end
  for _, message in ipairs(part) do bytes = bytes + #message end
  length = redis.call('RPUSH', draft, unpack(part))
end
redis.call('PEXPIRE', draft, ARGV[5])
return {'ok', string.format('%d', length)}
