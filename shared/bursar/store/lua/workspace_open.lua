-- Creates a workspace and its account, or changes the settings given of one that exists, which
-- `only_new` refuses.
-- KEYS: workspace account audit
-- ARGV: id limit warn_percent only_new created_audit changed_audit n (field value)*
-- Returns {'created'} | {'updated'} | {'exists'} | {'bad_amount'}. `limit` and `warn_percent` count at creation only:
-- later changes go through account_limit, which writes the ledger.
-- include: clock
-- include: args
-- include: money
-- include: account
-- include: audit
local workspace, account, log = KEYS[1], KEYS[2], KEYS[3]
local id, limit, warn_percent, only_new = take(), take(), take(), take()
local created_audit, changed_audit = take(), take()
local settings = take_list(2)
if limit ~= 'unlimited' and not amount(limit) then return {'bad_amount'} end
if not amount(warn_percent) then return {'bad_amount'} end
if only_new == '1' and redis.call('EXISTS', workspace) == 1 then return {'exists'} end
local created = redis.call('HSETNX', workspace, 'id', id) == 1
if created then
  redis.call('HSET', workspace, 'created_ms', now, 'paused', 0, 'killed', 0, 'max_running', 'unlimited',
    'max_sessions', 'unlimited', 'policy_version', 0)
  open_account(account, limit, 'unlimited', warn_percent, 0)
  audit(workspace, log, now, created_audit)
elseif #settings > 0 then
  audit(workspace, log, now, changed_audit)
end
if #settings > 0 then redis.call('HSET', workspace, unpack(settings)) end
return {created and 'created' or 'updated'}
