-- Counters by state, kind and outcome, for the shard and for the workspace, so that dashboards
-- never scan. Every script that includes this has the same first six KEYS.
-- include: self
local stats, ws_stats = KEYS[5], KEYS[6]
local function count(field, by)
  if by == 0 then return end
  redis.call('HINCRBY', stats, field, by)
  redis.call('HINCRBY', ws_stats, field, by)
end
