-- Records what an installation is at its first start; later starts compare themselves with it.
-- KEYS: install
-- ARGV: schema_version shards pepper
-- Returns {'ok', generation, pepper} or {'mismatch', schema_version, shards}: of the stored ones.
-- include: clock
local install = KEYS[1]
local schema_version, shards, pepper = ARGV[1], ARGV[2], ARGV[3]
local stored = redis.call('HMGET', install, 'schema_version', 'shards', 'generation', 'pepper')
if stored[1] then
  if stored[1] ~= schema_version or stored[2] ~= shards then
    return {'mismatch', stored[1], stored[2]}
  end
  return {'ok', stored[3], stored[4]}
end
-- The generation is a time, so a store that lost everything never hands out an old cursor's one.
local generation = string.format('%d', now)
redis.call('HSET', install, 'schema_version', schema_version, 'shards', shards,
  'generation', generation, 'created_ms', now, 'pepper', pepper)
return {'ok', generation, pepper}
