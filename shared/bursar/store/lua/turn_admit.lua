-- The agent's hooks have let a turn's input in, maybe as another text. What was said before is gone
-- then: that is what such a hook is for.
-- KEYS: session turn messages
-- ARGV: epoch owner append_no message
--       message: in the place of the input; empty to leave it
-- Returns {'ok'} | {'repeat', seq} | {'fenced'} | {'gone'}
-- include: args
-- include: fence
local session, turn, messages = KEYS[1], KEYS[2], KEYS[3]
local epoch, owner, append_no, message = take(), take(), take(), take()
local verdict = fence(session, epoch, owner, append_no)
if verdict == 'repeat' then return {'repeat', redis.call('HGET', session, 'event_seq')} end
if verdict ~= 'ok' then return {verdict} end
if message ~= '' then
  redis.call('LSET', messages, redis.call('HGET', turn, 'first_message'), message)
end
redis.call('HSET', session, 'append_no', append_no, 'admitted', 1)
redis.call('HSET', turn, 'admitted', 1)
return {'ok'}
