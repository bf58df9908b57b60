-- Begins a turn: the input at the head of the inbox becomes a message of the conversation.
-- include: time_limit
local function begin_turn(ref, inbox, turn, messages, timers, item, tid, message, now)
  redis.call('LREM', inbox, 1, item)
  set_turn_state(turn, 'queued', 'running')
  redis.call('HDEL', turn, 'input')
  redis.call('RPUSH', messages, message)
  local index = redis.call('HINCRBY', session, 'message_count', 1) - 1
  redis.call('HSET', turn, 'started_ms', now, 'first_message', index)
  redis.call('HSET', session, 'turn', tid, 'active_ms', now)
  redis.call('HINCRBY', session, 'turn_count', 1)
  start_clock(timers, ref, tid, now)
end
