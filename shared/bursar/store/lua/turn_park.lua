-- Lets go of a session whose turn waits, unless something came in that its driver has not seen.
-- KEYS: session events stats ws_stats idle queued running waiting ended turn leases timers blocked_cap
-- ARGV: epoch owner append_no sid ref tid reason seen_seq timer wake_ms log_max n (event body)*
-- Returns {'ok', seq, next_blocked} | {'repeat', seq, ''} | {'more', inbox_seq} | {'fenced'} |
--         {'gone'} | {'turn_ended', state}
-- wake_ms 0 sets no timer; otherwise the turn is woken that many milliseconds from now.
-- include: clock
-- include: args
-- include: fence
-- include: state
-- include: events
-- include: lease
local turn, leases, timers, blocked_cap = KEYS[10], KEYS[11], KEYS[12], KEYS[13]
local epoch, owner, append_no, sid, ref, tid = take(), take(), take(), take(), take(), take()
local reason, seen_seq, timer, wake_ms = take(), take(), take(), tonumber(take())
local log_max, list = take(), take_list(2)
local verdict = fence(session, epoch, owner, append_no)
if verdict == 'repeat' then return {'repeat', redis.call('HGET', session, 'event_seq'), ''} end
if verdict ~= 'ok' then return {verdict} end
local s = redis.call('HMGET', session, 'inbox_seq', 'state')
local turn_state = redis.call('HGET', turn, 'state')
if turn_state ~= 'running' and turn_state ~= 'waiting' then return {'turn_ended', turn_state or ''} end
if tonumber(s[1]) > tonumber(seen_seq) then return {'more', s[1]} end
-- A driver woken by something else than what its turn waits for parks it again as it is.
set_turn_state(turn, turn_state, 'waiting')
redis.call('HSET', turn, 'waiting_for', reason)
redis.call('HSET', session, 'append_no', append_no, 'seen_seq', seen_seq, 'attempts', 0)
set_state(sid, s[2], 'waiting', now)
if wake_ms > 0 then
  redis.call('ZADD', timers, now + wake_ms, timer)
  redis.call('HSET', turn, 'wake_at_ms', now + wake_ms)
end
release_lease(session, leases, ws_stats, ref)
return {'ok', tostring(emit(session, events, log_max, now, list)), next_blocked(blocked_cap)}
