-- Lets a blocked session run if what stopped it is over; the caller vouches for a served agent.
-- KEYS: session ws_stats ready workspace list blocked tree
-- ARGV: ref why tree_cap
-- Returns {'ring', agent, priority, epoch, inbox_seq} | {'still'} | {'kept'}
-- include: clock
-- include: lease
local session, ws_stats, ready, workspace, list, blocked = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local tree, ref, why, tree_cap = KEYS[7], ARGV[1], ARGV[2], tonumber(ARGV[3])
local caps = redis.call('HMGET', workspace, 'paused', 'max_running')
if why == 'paused' and caps[1] == '1' then return {'still'} end
if why == 'cap' and caps[2] and caps[2] ~= 'unlimited'
  and tonumber(redis.call('HGET', ws_stats, 'leases') or 0) >= tonumber(caps[2]) then
  return {'still'}
end
if why == 'tree' and tonumber(redis.call('HGET', tree, 'tree_running') or 0) >= tree_cap then
  return {'still'}
end
local place = why == 'cap' and redis.call('ZSCORE', list, ref)
if place then redis.call('HSET', workspace, 'cap_round', math.floor(tonumber(place))) end
redis.call('ZREM', list, ref)
if redis.call('ZCARD', list) == 0 then redis.call('ZREM', blocked, list) end
local s = redis.call('HMGET', session, 'blocked', 'agent', 'priority', 'epoch', 'inbox_seq')
if s[1] ~= why then return {'kept'} end
redis.call('HSET', session, 'blocked', '')
make_ready(session, ready, ref, now)
return {'ring', s[2], s[3], s[4], s[5]}
