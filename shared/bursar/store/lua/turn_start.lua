-- Begins the turn at the head of the inbox: its input becomes a message of the conversation.
-- KEYS: session events stats ws_stats idle queued running waiting ended inbox turn messages
-- ARGV: epoch owner append_no tid item log_max n (event body)*
-- Returns {'ok', seq, message} | {'repeat', seq, message} | {'fenced'} | {'gone'} | {'not_queued', state}
-- 'not_queued': the turn was cancelled (or lost) meanwhile; its item is dropped.
-- include: clock
-- include: args
-- include: fence
-- include: state
-- include: events
local inbox, turn, messages = KEYS[10], KEYS[11], KEYS[12]
local epoch, owner, append_no, tid, item = take(), take(), take(), take(), take()
local log_max, list = take(), take_list(2)
local verdict = fence(session, epoch, owner, append_no)
if verdict == 'repeat' then
  local done = redis.call('HMGET', session, 'event_seq', 'turn')
  if done[2] == tid then return {'repeat', done[1], redis.call('LINDEX', messages, -1)} end
  return {'not_queued', redis.call('HGET', turn, 'state') or ''}
end
if verdict ~= 'ok' then return {verdict} end
local t = redis.call('HMGET', turn, 'state', 'input')
local state, message = t[1], t[2]
redis.call('LREM', inbox, 1, item)
redis.call('HSET', session, 'append_no', append_no)
if state ~= 'queued' then return {'not_queued', state or ''} end
set_turn_state(turn, 'queued', 'running')
redis.call('HDEL', turn, 'input')
redis.call('RPUSH', messages, message)
local index = redis.call('HINCRBY', session, 'message_count', 1) - 1
redis.call('HSET', turn, 'started_ms', now, 'first_message', index)
redis.call('HSET', session, 'turn', tid, 'active_ms', now)
redis.call('HINCRBY', session, 'turn_count', 1)
return {'ok', tostring(emit(session, events, log_max, now, list)), message}
