-- Keeps what an agent's context provider said about a session. The first answer stays; an empty one, too.
-- KEYS: session text
-- ARGV: epoch owner append_no context
-- Returns {'ok'} | {'repeat', seq} | {'fenced'} | {'gone'}
-- include: args
-- include: fence
local session, text = KEYS[1], KEYS[2]
local epoch, owner, append_no, context = take(), take(), take(), take()
local verdict = fence(session, epoch, owner, append_no)
if verdict == 'repeat' then return {'repeat', redis.call('HGET', session, 'event_seq')} end
if verdict ~= 'ok' then return {verdict} end
redis.call('HSET', session, 'append_no', append_no)
if redis.call('HSETNX', text, 'context', context) == 1 and context ~= '' then
  -- What models counted before did not have it.
  redis.call('HSET', session, 'counted_from', redis.call('HGET', session, 'message_count'))
end
return {'ok'}
