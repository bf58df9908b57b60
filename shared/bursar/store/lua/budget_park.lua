-- Lets go of a session whose turn waits for money of an account, in the order of arrival, unless there
-- is news or the amount fits by now. The first that does not fit at all asks people, once an account.
-- KEYS: session events tree tree_log stats ws_stats idle queued running waiting ended live tree_blocked
--       turn leases blocked_cap
--       account waiters accounts_waiting questions timers
-- ARGV: epoch owner append_no sid ref tid seen_seq log_max account_name wait_ref cost tokens keeps
--       exhausted_event n (event body)*
--       keeps: whether what is kept back for a closing answer is out of its reach
-- Returns {'ok', seq, next_blocked} | {'repeat', seq, ''} | {'more', inbox_seq} | {'fits'} | {'fenced'} |
--         {'gone'} | {'turn_ended', state} | {'no_account'} | {'bad_amount'}
-- include: clock
-- include: args
-- include: fence
-- include: state
-- include: events
-- include: lease
-- include: park
-- include: money
-- include: room
local turn, leases, blocked_cap, account = KEYS[14], KEYS[15], KEYS[16], KEYS[17]
local waiters, accounts_waiting, questions, timers = KEYS[18], KEYS[19], KEYS[20], KEYS[21]
local epoch, owner, append_no, sid, ref, tid = take(), take(), take(), take(), take(), take()
local seen_seq, log_max, name, wait_ref = take(), take(), take(), take()
local cost, tokens, keeps, exhausted_event, list = take(), take(), take(), take(), take_list(2)
local verdict = fence(session, epoch, owner, append_no)
if verdict == 'repeat' then return {'repeat', redis.call('HGET', session, 'event_seq'), ''} end
if verdict ~= 'ok' then return {verdict} end
if not amount(cost) or not amount(tokens) then return {'bad_amount'} end
local refusal = why_not(session, turn, seen_seq, 'budget')
if refusal then return refusal end
local a = redis.call('HMGET', account, 'limit', 'posted', 'pending', 'kept', 'frozen', 'token_limit',
  'tokens_posted', 'tokens_pending', 'asked_ms')
if not a[1] then return {'no_account'} end
local limit, token_limit = limit_of(a[1], keeps == '1' and a[4]), limit_of(a[6])
local why = a[5] == '1' and 'frozen'
  or limit and refusal_of(limit, tonumber(a[2]), tonumber(a[3]), tonumber(cost))
  or token_limit and refusal_of(token_limit, tonumber(a[7]), tonumber(a[8]), tonumber(tokens))
if not why then return {'fits'} end

park(sid, ref, tid, turn, leases, timers, append_no, seen_seq, 'budget', now)
-- One that waited before at this account has its old place again.
local t = redis.call('HMGET', turn, 'waits_for', 'waiter_no')
local number = t[1] == name and t[2] or redis.call('HINCRBY', account, 'waiter_no', 1)
local member = table.concat({cost, tokens, why, keeps, sid, tid}, ' ')
redis.call('HSET', turn, 'waits_for', name, 'waiter', member, 'waiter_no', number, 'woken', '')
if redis.call('ZADD', waiters, number, member) == 1 then redis.call('HINCRBY', account, 'waiting', 1) end
redis.call('ZADD', accounts_waiting, 'NX', now, wait_ref)
if why ~= 'contended' and not a[9] then
  redis.call('HSET', account, 'asked_ms', now)
  redis.call('ZADD', questions, now, name)
  table.insert(list, 1, exhausted_event)
  table.insert(list, 1, 'budget.exhausted')
end
return {'ok', tostring(emit(session, events, log_max, now, list)), next_blocked(blocked_cap, tree_blocked)}
