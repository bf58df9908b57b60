-- What a client's Idempotency-Key was answered with before: {'repeat', id}, with the seq as a third
-- for an input that joined a turn; {'idem_conflict'} when it came with another body, nil when it is
-- new. An empty fingerprint means that no key was given.
local function first_answer(idem, fingerprint)
  if fingerprint == '' then return nil end
  local first = redis.call('HMGET', idem, 'fingerprint', 'id', 'joined_seq')
  if not first[1] then return nil end
  if first[1] ~= fingerprint then return {'idem_conflict'} end
  local answer = {'repeat', first[2]}
  if first[3] then answer[3] = first[3] end
  return answer
end
local function remember(idem, fingerprint, id, ttl_ms, joined_seq)
  if fingerprint == '' then return end
  redis.call('HSET', idem, 'fingerprint', fingerprint, 'id', id)
  if joined_seq then redis.call('HSET', idem, 'joined_seq', joined_seq) end
  redis.call('PEXPIRE', idem, ttl_ms)
end
