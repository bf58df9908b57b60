-- Begins the turn at the head of the inbox.
-- KEYS: session events tree tree_log stats ws_stats idle queued running waiting ended live tree_blocked
--       inbox turn messages
--       workspace blocked_cap timers
-- ARGV: epoch owner append_no ref tid item yields log_max n (event body)*
--       yields: whether the lease has had a turn already, so that others may come first
-- Returns {'ok', seq} | {'repeat', seq} | {'fenced'} | {'gone'} | {'not_queued', state} |
--   {'blocked'}
-- 'not_queued': the turn was cancelled (or lost) meanwhile; its item is dropped.
-- 'blocked': the workspace was paused, or others wait for this one's place under its cap; give the
-- lease back. The first turn of a lease does not yield: all would hand on the place, and none start.
-- include: clock
-- include: args
-- include: fence
-- include: state
-- include: start
-- include: events
local inbox, turn, messages, workspace, blocked_cap = KEYS[14], KEYS[15], KEYS[16], KEYS[17], KEYS[18]
local timers = KEYS[19]
local epoch, owner, append_no, ref, tid, item = take(), take(), take(), take(), take(), take()
local yields, log_max, list = take(), take(), take_list(2)
local verdict = fence(session, epoch, owner, append_no)
if verdict == 'repeat' then
  local done = redis.call('HMGET', session, 'event_seq', 'turn')
  if done[2] == tid then return {'repeat', done[1]} end
  return {'not_queued', redis.call('HGET', turn, 'state') or ''}
end
if verdict ~= 'ok' then return {verdict} end
local t = redis.call('HMGET', turn, 'state', 'input')
local blocked = redis.call('HGET', workspace, 'paused') == '1'
  or yields == '1' and redis.call('ZCARD', blocked_cap) > 0
if t[1] == 'queued' and blocked then return {'blocked'} end
redis.call('HSET', session, 'append_no', append_no)
if t[1] ~= 'queued' then
  redis.call('LREM', inbox, 1, item)
  return {'not_queued', t[1] or ''}
end
begin_turn(ref, inbox, turn, messages, timers, item, tid, t[2], now)
return {'ok', tostring(emit(session, events, log_max, now, list))}
