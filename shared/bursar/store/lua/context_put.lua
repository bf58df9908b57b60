-- Keeps what an agent's context provider said about a session. The first answer stays; an empty one, too.
-- KEYS: session text
-- ARGV: epoch owner append_no context
-- Returns {'ok', counted_from} | {'repeat', counted_from} | {'fenced'} | {'gone'}
-- counted_from: index of the first message of which the model's usage counts the context as it is now
-- include: args
-- include: fence
local session, text = KEYS[1], KEYS[2]
local epoch, owner, append_no, context = take(), take(), take(), take()
local verdict = fence(session, epoch, owner, append_no)
if verdict == 'ok' then
  redis.call('HSET', session, 'append_no', append_no)
  if redis.call('HSETNX', text, 'context', context) == 1 and context ~= '' then
    redis.call('HSET', session, 'counted_from', redis.call('HGET', session, 'message_count'))
  end
elseif verdict ~= 'repeat' then
  return {verdict}
end
return {verdict, redis.call('HGET', session, 'counted_from') or '0'}
