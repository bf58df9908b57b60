-- Appends a message without starting a turn. Refused while one is queued, running or waiting.
-- KEYS: session events tree tree_log messages idem sessions user path
-- ARGV: sid message event log_max log_ttl_ms fingerprint idem_ttl_ms
-- Returns {'ok', index} | {'repeat', index} | {'idem_conflict'} | {'gone'} | {'ended'} | {'busy'}
-- include: clock
-- include: args
-- include: idem
-- include: events
local messages, idem = KEYS[5], KEYS[6]
local indexes = {KEYS[7], KEYS[8], KEYS[9]}
local sid, message, event, log_max, log_ttl_ms = take(), take(), take(), take(), take()
local fingerprint, idem_ttl_ms = take(), take()
local answered = first_answer(idem, fingerprint)
if answered then return answered end
local s = redis.call('HMGET', session, 'id', 'state', 'ending')
if not s[1] then return {'gone'} end
if s[2] == 'ended' or s[3] == '1' then return {'ended'} end
if s[2] ~= 'idle' then return {'busy'} end
local index = redis.call('HINCRBY', session, 'message_count', 1) - 1
redis.call('RPUSH', messages, message)
redis.call('HSET', session, 'active_ms', now)
for _, key in ipairs(indexes) do redis.call('ZADD', key, now, sid) end
remember(idem, fingerprint, index, idem_ttl_ms)
emit(session, events, log_max, now, {'message.committed', event})
redis.call('PEXPIRE', events, log_ttl_ms)
return {'ok', tostring(index)}
