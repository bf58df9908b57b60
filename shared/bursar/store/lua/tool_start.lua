-- Marks a tool call as sent, right before its effect may happen.
-- KEYS: session events stats ws_stats effects [hold]
-- ARGV: epoch owner append_no call_field log_max n (event body)*
-- Returns {'ok', seq} | {'repeat', seq} | {'fenced'} | {'gone'} | {'no_call'} | {'hold_ended'}
-- durable: with hold
-- include: clock
-- include: args
-- include: fence
-- include: stats
-- include: events
local effects, hold = KEYS[5], KEYS[6]
local epoch, owner, append_no, call = take(), take(), take(), take()
local log_max, list = take(), take_list(2)
local verdict = fence(session, epoch, owner, append_no)
if verdict == 'repeat' then return {'repeat', redis.call('HGET', session, 'event_seq')} end
if verdict ~= 'ok' then return {verdict} end
if redis.call('HEXISTS', effects, call) == 0 then return {'no_call'} end
if hold and redis.call('HGET', hold, 'state') ~= 'open' then return {'hold_ended'} end
redis.call('HSET', effects, call, 'sent')
-- From here on an expired hold is booked in full: the money may be gone.
if hold then redis.call('HSET', hold, 'sent', 1) end
redis.call('HSET', session, 'append_no', append_no)
return {'ok', tostring(emit(session, events, log_max, now, list))}
