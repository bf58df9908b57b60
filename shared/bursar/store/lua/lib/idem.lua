-- What a client's Idempotency-Key was answered with before: {'repeat', id}, {'idem_conflict'} when it
-- came with another body, nil when it is new. An empty fingerprint means that no key was given.
local function first_answer(idem, fingerprint)
  if fingerprint == '' then return nil end
  local first = redis.call('HMGET', idem, 'fingerprint', 'id')
  if not first[1] then return nil end
  if first[1] ~= fingerprint then return {'idem_conflict'} end
  return {'repeat', first[2]}
end
local function remember(idem, fingerprint, id, ttl_ms)
  if fingerprint == '' then return end
  redis.call('HSET', idem, 'fingerprint', fingerprint, 'id', id)
  redis.call('PEXPIRE', idem, ttl_ms)
end
