-- Starts a new context: the model sees nothing from before; history, spend and grants stay.
-- KEYS: session text
-- ARGV: (none)
-- Returns {'ok', context_start} | {'gone'} | {'ended'} | {'busy'}
local session, text = KEYS[1], KEYS[2]
local s = redis.call('HMGET', session, 'id', 'state', 'ending', 'message_count')
if not s[1] then return {'gone'} end
if s[2] == 'ended' or s[3] == '1' then return {'ended'} end
if s[2] ~= 'idle' then return {'busy'} end
redis.call('HSET', session, 'context_start', s[4], 'token_count', 0)
redis.call('HDEL', session, 'compact_above', 'summarised')
redis.call('HDEL', text, 'summary', 'inputs')
return {'ok', s[4]}
