-- Gives a session's lease back. `owner` and `append_no` stay, so that a repeat of the last write
-- is recognised as such; `lease_until_ms` 0 is what says that nobody drives it.
local function release_lease(session, leases, ws_stats, ref)
  redis.call('HSET', session, 'lease_until_ms', 0, 'worker', '')
  redis.call('ZREM', leases, ref)
  redis.call('HINCRBY', ws_stats, 'leases', -1)
end
-- A slot under the workspace's cap is free: name the session that has waited longest for one.
local function next_blocked(blocked_cap)
  return redis.call('ZRANGE', blocked_cap, 0, 0)[1] or ''
end
-- The sweeper rings at the score; it doubles from 2 s, so a lost bell costs seconds.
local function make_ready(session, ready, ref, now)
  if redis.call('ZADD', ready, 'NX', now + 2000, ref) == 1 then
    redis.call('HSET', session, 'since_ms', now)
  end
end
-- Takes a session out of the running until its reason ends: a pause, a full cap, a missing agent.
-- `blocked` (per shard) names the lists that have members, so that the sweeper looks at no others.
local function block(session, blocked, list, why, ref, now)
  redis.call('HSET', session, 'blocked', why)
  redis.call('ZADD', list, 'NX', now, ref)
  redis.call('ZADD', blocked, 'NX', now, list)
end
