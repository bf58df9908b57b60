-- Changes title, tags and custom data of a session that exists.
-- KEYS: session text
-- ARGV: n (field value)* n (text_field value)*
-- Returns {'ok'} | {'gone'}
-- include: args
local session, text = KEYS[1], KEYS[2]
local fields, texts = take_list(2), take_list(2)
if redis.call('EXISTS', session) == 0 then return {'gone'} end
if #fields > 0 then redis.call('HSET', session, unpack(fields)) end
if #texts > 0 then redis.call('HSET', text, unpack(texts)) end
return {'ok'}
