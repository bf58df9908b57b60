-- Sets or removes one policy of a workspace. The same policy again changes nothing, so a repeat is safe.
-- KEYS: workspace policies history audit
-- ARGV: scope expected body author audit_body max_versions max_scopes
--       expected: the version that the caller saw, 0 for none; empty for any
--       body: a JSON object of the three lists; empty removes the policy
--       author: further fields of it as JSON text
-- Returns {'ok', version} | {'same', version} | {'policy_changed', version} | {'no_policy'} |
--         {'too_many_policies', max} | {'no_workspace'}
--   policy_changed: with the present version, 0 if there is none
-- durable
-- include: clock
-- include: args
-- include: audit
local workspace, policies, history, log = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local scope, expected, body, author = take(), take(), take(), take()
local audit_body, max_versions, max_scopes = take(), tonumber(take()), tonumber(take())
if redis.call('EXISTS', workspace) == 0 then return {'no_workspace'} end
local present = redis.call('HGET', policies, scope)
-- Versions count over all policies of the workspace, so that none comes twice in any of them.
local versions = redis.call('HGET', history, scope) or ''
local version = present and string.match(versions, '^%d+') or '0'
local head = string.sub(body, 1, -2) .. ','
if body == '' and not present then
  if expected ~= '' and expected ~= '0' then return {'policy_changed', version} end
  return {'no_policy'}
end
if present and body ~= '' and string.sub(present, 1, #head) == head then return {'same', version} end
if expected ~= '' and expected ~= version then return {'policy_changed', version} end
local is_new = body ~= '' and not present
if is_new and (redis.call('HLEN', policies) >= max_scopes
  or (versions == '' and redis.call('HLEN', history) >= max_scopes * (max_versions + 1))) then
  return {'too_many_policies', max_scopes}
end
local new = redis.call('HINCRBY', workspace, 'policy_version', 1)
redis.call('HINCRBY', workspace, 'gate_version', 1)
local facts = string.format('"version":%d,"at_ms":%d,', new, now) .. author
local kept = {string.format('%d', new)}
for old in string.gmatch(versions, '%d+') do
  if #kept < max_versions then
    kept[#kept + 1] = old
  else
    redis.call('HDEL', history, scope .. '@' .. old)
  end
end
if body == '' then
  redis.call('HDEL', policies, scope)
  redis.call('HSET', history, scope .. '@' .. kept[1], extend('{"removed":true}', facts))
else
  redis.call('HSET', policies, scope, extend(body, facts))
  redis.call('HSET', history, scope .. '@' .. kept[1], extend(body, facts))
end
redis.call('HSET', history, scope, table.concat(kept, ','))
audit(workspace, log, now, extend(audit_body, string.format('"outcome":"version %d"', new)))
return {'ok', new}
