-- Appends events to the log of a session that this worker drives, and publishes them.
-- KEYS: session events tree tree_log
-- ARGV: epoch owner append_no log_max n (event body)*
-- Returns {'ok', seq} | {'repeat', seq} | {'fenced'} | {'gone'}: seq of the last event
-- include: clock
-- include: args
-- include: fence
-- include: events
local epoch, owner, append_no, log_max, list = take(), take(), take(), take(), take_list(2)
local verdict = fence(session, epoch, owner, append_no)
if verdict == 'repeat' then return {'repeat', redis.call('HGET', session, 'event_seq')} end
if verdict ~= 'ok' then return {verdict} end
redis.call('HSET', session, 'append_no', append_no)
return {'ok', tostring(emit(session, events, log_max, now, list))}
