-- Changes the keys that sign, provided that all of them are as the caller read them. The first key of
-- an installation, a rotation and a revocation are each one such change, so that of two at once one wins.
-- KEYS: keys secrets install audit
-- ARGV: n (kid value)* m (kid value secret)* audit_body
--   first all keys as they were read, then those that are new or changed
--   secret: the private half; empty drops the one there is
-- Returns {'ok'} | {'changed'}
-- durable
-- include: clock
-- include: args
-- include: audit
local keys, secrets, install, log = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local known, new, body = take_list(2), take_list(3), take()
if redis.call('HLEN', keys) * 2 ~= #known then return {'changed'} end
for i = 1, #known, 2 do
  if redis.call('HGET', keys, known[i]) ~= known[i + 1] then return {'changed'} end
end
for i = 1, #new, 3 do
  redis.call('HSET', keys, new[i], new[i + 1])
  if new[i + 2] == '' then
    redis.call('HDEL', secrets, new[i])
  else
    redis.call('HSET', secrets, new[i], new[i + 2])
  end
end
audit(install, log, now, body)
return {'ok'}
