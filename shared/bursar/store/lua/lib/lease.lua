-- Gives a session's lease back. `owner` and `append_no` stay, so that a repeat of the last write
-- is recognised as such; `lease_until_ms` 0 is what says that nobody drives it.
local function release_lease(session, tree, leases, ws_stats, ref)
  redis.call('HSET', session, 'lease_until_ms', 0, 'worker', '')
  redis.call('ZREM', leases, ref)
  redis.call('HINCRBY', ws_stats, 'leases', -1)
  if tree ~= session then redis.call('HINCRBY', tree, 'tree_running', -1) end
end
-- A place under the caps of workspace and tree is free: `cap <ref>` or `tree <ref>` names who is next.
local function next_blocked(blocked_cap, tree_blocked)
  local next = redis.call('ZRANGE', tree_blocked, 0, 0)[1]
  local found = next and 'tree ' .. next or ''
  next = redis.call('ZRANGE', blocked_cap, 0, 0)[1]
  if not next then return found end
  return (found == '' and '' or found .. ',') .. 'cap ' .. next
end
-- The sweeper rings at the score; it doubles from 2 s, so a lost bell costs seconds.
local function make_ready(session, ready, ref, now)
  if redis.call('ZADD', ready, 'NX', now + 2000, ref) == 1 then
    redis.call('HSET', session, 'since_ms', now)
  end
end
-- Takes a session out of the running until its reason ends: a pause, a full cap, a missing agent.
-- `blocked` (per shard) names the lists that have members, so that the sweeper looks at no others.
local function block(session, blocked, list, why, ref, place, now)
  redis.call('HSET', session, 'blocked', why)
  redis.call('ZADD', list, 'NX', place, ref)
  redis.call('ZADD', blocked, 'NX', now, list)
end
local function unblock(session, blocked, list, ref)
  if redis.call('ZREM', list, ref) == 1 then redis.call('HSET', session, 'blocked', '') end
  if redis.call('ZCARD', list) == 0 then redis.call('ZREM', blocked, list) end
end
-- A place in the line of those that a workspace's cap holds up: each tree has one in each round, so
-- one of a thousand children does not keep the others waiting; within a round, first come first served.
local function place_in_line(workspace, tree)
  local no = redis.call('HINCRBY', workspace, 'cap_no', 1) % 1000000000
  local before = redis.call('HGET', tree, 'cap_round') or '0'
  local round = math.max(tonumber(redis.call('HGET', workspace, 'cap_round') or 0), tonumber(before) + 1)
  redis.call('HSET', tree, 'cap_round', round)
  return string.format('%d.%09d', round, no)
end
