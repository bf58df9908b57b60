-- A parked turn runs again under a new lease; the items that woke it are dropped. If it waited for
-- money of an account, as `waiter`, it leaves the line there.
-- KEYS: session events tree tree_log stats ws_stats idle queued running waiting ended live tree_blocked
--       turn inbox account waiters timers
-- ARGV: epoch owner append_no ref tid waiter log_max n item* n (event body)*
-- Returns {'ok', seq} | {'repeat', seq} | {'fenced'} | {'gone'} | {'not_waiting', state}
-- include: clock
-- include: args
-- include: fence
-- include: state
-- include: events
-- include: time_limit
local turn, inbox, account, waiters = KEYS[14], KEYS[15], KEYS[16], KEYS[17]
local timers = KEYS[18]
local epoch, owner, append_no, ref, tid, waiter = take(), take(), take(), take(), take(), take()
local log_max, items, list = take(), take_list(1), take_list(2)
local verdict = fence(session, epoch, owner, append_no)
if verdict == 'repeat' then return {'repeat', redis.call('HGET', session, 'event_seq')} end
if verdict ~= 'ok' then return {verdict} end
local state = redis.call('HGET', turn, 'state')
if state ~= 'waiting' then return {'not_waiting', state or ''} end
for _, item in ipairs(items) do redis.call('LREM', inbox, 1, item) end
set_turn_state(turn, 'waiting', 'running')
redis.call('HDEL', turn, 'waiting_for', 'waiter', 'wake_at_ms')
if waiter ~= '' and redis.call('ZREM', waiters, waiter) == 1 then
  redis.call('HINCRBY', account, 'waiting', -1)
end
redis.call('HSET', session, 'append_no', append_no, 'seen_seq', 0)
start_clock(timers, ref, tid, now)
return {'ok', tostring(emit(session, events, log_max, now, list))}
