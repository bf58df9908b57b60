-- The session's state with its index and counters.
-- Every script that includes this has the same first nine KEYS.
-- include: stats
local states = {
  idle = KEYS[5], queued = KEYS[6], running = KEYS[7], waiting = KEYS[8], ended = KEYS[9],
}
local function set_state(sid, from, to, now)
  if from == to then return end
  redis.call('ZREM', states[from], sid)
  count('sessions:' .. from, -1)
  redis.call('HSET', session, 'state', to)
  redis.call('ZADD', states[to], now, sid)
  count('sessions:' .. to, 1)
end
local function set_turn_state(turn, from, to)
  redis.call('HSET', turn, 'state', to)
  count('turns:' .. from, -1)
  count('turns:' .. to, 1)
end
