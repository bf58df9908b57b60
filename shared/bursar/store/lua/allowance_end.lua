-- Ends an allowance. What is left of it for a while says that it must not be brought back.
-- KEYS: workspace audit allowances timers
-- ARGV: id timer how expires_ms audit_body keep_ms
--       how: revoke; or look, when its timer is due: it ends if it has expired by then
-- Returns {'ok'} | {'gone'} | {'kept'} | {'not_due'}
-- durable
-- include: clock
-- include: args
-- include: audit
local workspace, log, allowances, timers = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, timer, how, expires_ms, audit_body, keep_ms = take(), take(), take(), take(), take(), take()
if how == 'look' then
  local due = redis.call('ZSCORE', timers, timer)
  if not due or tonumber(due) > now then return {'not_due'} end
end
if redis.call('HEXISTS', allowances, id) == 0 then
  if how == 'look' then
    redis.call('HDEL', allowances, id .. ':left')
    redis.call('ZREM', timers, timer)
  end
  return {'gone'}
end
redis.call('ZADD', timers, now + tonumber(keep_ms), timer)
if how == 'look' and (expires_ms == '' or tonumber(expires_ms) > now) then return {'kept'} end
redis.call('HDEL', allowances, id)
redis.call('HSET', allowances, id .. ':left', how == 'revoke' and 'revoked' or 0)
redis.call('HINCRBY', workspace, 'gate_version', 1)
audit(workspace, log, now, audit_body)
return {'ok'}
