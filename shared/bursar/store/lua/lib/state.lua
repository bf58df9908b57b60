-- The session's state with its index and counters.
-- `live` are the sessions below the tree's root that have not ended, `tree_blocked` those of them that
-- wait for a place under its cap. Every script that includes this has the same first thirteen KEYS.
-- include: stats
local states = {
  idle = KEYS[7], queued = KEYS[8], running = KEYS[9], waiting = KEYS[10], ended = KEYS[11],
}
local live, tree_blocked = KEYS[12], KEYS[13]
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
