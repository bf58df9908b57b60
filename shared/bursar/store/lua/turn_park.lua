-- Lets go of a session whose turn waits, unless something came in that its driver has not seen.
-- KEYS: session events tree tree_log stats ws_stats idle queued running waiting ended live tree_blocked
--       turn leases timers blocked_cap
-- ARGV: epoch owner append_no sid ref tid reason seen_seq timer wake_ms log_max n (event body)*
-- Returns {'ok', seq, next_blocked} | {'repeat', seq, ''} | {'more', inbox_seq} | {'fits'} | {'fenced'} |
--         {'gone'} | {'turn_ended', state}
-- wake_ms 0 sets no timer; otherwise the turn is woken that many milliseconds from now.
-- include: clock
-- include: args
-- include: fence
-- include: state
-- include: events
-- include: lease
-- include: park
local turn, leases, timers, blocked_cap = KEYS[14], KEYS[15], KEYS[16], KEYS[17]
local epoch, owner, append_no, sid, ref, tid = take(), take(), take(), take(), take(), take()
local reason, seen_seq, timer, wake_ms = take(), take(), take(), tonumber(take())
local log_max, list = take(), take_list(2)
local verdict = fence(session, epoch, owner, append_no)
if verdict == 'repeat' then return {'repeat', redis.call('HGET', session, 'event_seq'), ''} end
if verdict ~= 'ok' then return {verdict} end
local refusal = why_not(session, turn, seen_seq, reason)
if refusal then return refusal end
park(sid, ref, tid, turn, leases, timers, append_no, seen_seq, reason, now)
if wake_ms > 0 then
  redis.call('ZADD', timers, now + wake_ms, timer)
  redis.call('HSET', turn, 'wake_at_ms', now + wake_ms)
end
return {'ok', tostring(emit(session, events, log_max, now, list)), next_blocked(blocked_cap, tree_blocked)}
