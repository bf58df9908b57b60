-- Allows calls that match a pattern, until it is revoked, used up or expired.
-- KEYS: workspace audit allowances timers session
-- ARGV: id body left until_ms timer audit_body needs_session max
--       left: empty for any number of uses; until_ms: when to look at it again; needs_session: whether
--       the session has to be there
-- Returns {'ok'} | {'exists'} | {'used_up'} | {'no_workspace'} | {'gone'} | {'ended'} |
--   {'grants_full', max}
--   used_up: it was there before and is used up, expired or revoked; nothing brings it back
-- durable
-- include: clock
-- include: args
-- include: audit
local workspace, log, allowances, timers, session = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local id, body, left, until_ms, timer, audit_body = take(), take(), take(), take(), take(), take()
local needs_session, max = take(), take()
if redis.call('EXISTS', workspace) == 0 then return {'no_workspace'} end
if needs_session == '1' then
  local state = redis.call('HGET', session, 'state')
  if not state then return {'gone'} end
  if state == 'ended' then return {'ended'} end
end
if redis.call('HEXISTS', allowances, id) == 1 then return {'exists'} end
if redis.call('HEXISTS', allowances, id .. ':left') == 1 then return {'used_up'} end
if redis.call('HLEN', allowances) >= tonumber(max) then return {'grants_full', max} end
redis.call('HSET', allowances, id, body)
if left ~= '' then redis.call('HSET', allowances, id .. ':left', left) end
redis.call('ZADD', timers, until_ms, timer)
redis.call('HINCRBY', workspace, 'gate_version', 1)
audit(workspace, log, now, audit_body)
return {'ok'}
