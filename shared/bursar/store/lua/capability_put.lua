-- Puts a capability in force: one just made, one derived from others, or one that is brought back.
-- KEYS: workspace audit capabilities revoked used timers session
-- ARGV: id token expires_ms timer until_ms max use_id needs_session needs_parent audit_body n ancestor*
--       until_ms: when it may be forgotten; use_id: where its one use is marked, empty for any number
--       needs_session: whether the session has to be there; needs_parent: likewise the first ancestor
-- Returns {'ok'} | {'no_workspace'} | {'gone'} | {'ended'} | {'capability_expired'} |
--   {'capability_revoked', id} | {'capability_used', call} | {'capability_exists'} |
--   {'no_parent_capability'} | {'capabilities_full', max}
-- durable
-- include: clock
-- include: args
-- include: audit
local workspace, log, capabilities, revoked = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local used, timers, session = KEYS[5], KEYS[6], KEYS[7]
local id, token, expires_ms, timer, until_ms, max = take(), take(), take(), take(), take(), take()
local use_id, needs_session, needs_parent = take(), take(), take()
local audit_body, ancestors = take(), take_list(1)
if redis.call('EXISTS', workspace) == 0 then return {'no_workspace'} end
if needs_session == '1' then
  local state = redis.call('HGET', session, 'state')
  if not state then return {'gone'} end
  if state == 'ended' then return {'ended'} end
end
if tonumber(expires_ms) <= now then return {'capability_expired'} end
if redis.call('HEXISTS', revoked, id) == 1 then return {'capability_revoked', id} end
for _, ancestor in ipairs(ancestors) do
  if redis.call('HEXISTS', revoked, ancestor) == 1 then return {'capability_revoked', ancestor} end
end
if use_id ~= '' then
  local call = redis.call('HGET', used, use_id)
  if call then return {'capability_used', call} end
end
if redis.call('HEXISTS', capabilities, id) == 1 then return {'capability_exists'} end
if needs_parent == '1' and redis.call('HEXISTS', capabilities, ancestors[1]) == 0 then
  return {'no_parent_capability'}
end
if redis.call('HLEN', capabilities) >= tonumber(max) then return {'capabilities_full', max} end
redis.call('HSET', capabilities, id, token)
redis.call('ZADD', timers, until_ms, timer)
redis.call('HINCRBY', workspace, 'gate_version', 1)
audit(workspace, log, now, audit_body)
return {'ok'}
