-- A parked turn runs again under a new lease; the items that woke it are dropped. If it waited for
-- money of an account, as `waiter`, it leaves the line there.
-- KEYS: session events stats ws_stats idle queued running waiting ended turn inbox account waiters
-- ARGV: epoch owner append_no tid waiter log_max n item* n (event body)*
-- Returns {'ok', seq} | {'repeat', seq} | {'fenced'} | {'gone'} | {'not_waiting', state}
-- include: clock
-- include: args
-- include: fence
-- include: state
-- include: events
local turn, inbox, account, waiters = KEYS[10], KEYS[11], KEYS[12], KEYS[13]
local epoch, owner, append_no, tid, waiter, log_max = take(), take(), take(), take(), take(), take()
local items, list = take_list(1), take_list(2)
local verdict = fence(session, epoch, owner, append_no)
if verdict == 'repeat' then return {'repeat', redis.call('HGET', session, 'event_seq')} end
if verdict ~= 'ok' then return {verdict} end
local state = redis.call('HGET', turn, 'state')
if state ~= 'waiting' then return {'not_waiting', state or ''} end
for _, item in ipairs(items) do redis.call('LREM', inbox, 1, item) end
set_turn_state(turn, 'waiting', 'running')
redis.call('HDEL', turn, 'waiting_for', 'waiter')
if waiter ~= '' and redis.call('ZREM', waiters, waiter) == 1 then
  redis.call('HINCRBY', account, 'waiting', -1)
end
redis.call('HSET', session, 'append_no', append_no, 'seen_seq', 0)
return {'ok', tostring(emit(session, events, log_max, now, list))}
