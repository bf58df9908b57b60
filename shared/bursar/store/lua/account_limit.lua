-- Changes the limits of an account, with a ledger entry. An id that was used before changes nothing.
-- KEYS: account ledger idem
-- ARGV: name id limit per_action warn_percent idem_ttl_ms
-- Empty limit, per_action or warn_percent leave the old value.
-- Returns {'ok', limit, posted, pending} | {'repeat'} | {'id_conflict'} | {'no_account'} |
--         {'bad_amount'} | {'per_action_above_limit'}
-- include: clock
-- include: args
-- include: money
local account, ledger, idem = KEYS[1], KEYS[2], KEYS[3]
local name, id, limit, per_action, warn_percent, idem_ttl_ms = take(), take(), take(), take(), take(), take()
local wish = limit .. '/' .. per_action .. '/' .. warn_percent
local a = redis.call('HMGET', account, 'limit', 'posted', 'pending', 'floor', 'per_action')
if not a[1] then return {'no_account'} end
if limit ~= '' and limit ~= 'unlimited' and not amount(limit) then return {'bad_amount'} end
if per_action ~= '' and not amount(per_action) then return {'bad_amount'} end
if warn_percent ~= '' and not amount(warn_percent) then return {'bad_amount'} end
local used = redis.call('HGET', idem, 'fingerprint')
if used == wish then return {'repeat'} end
if used then return {'id_conflict'} end
local new_limit, new_action = limit ~= '' and limit or a[1], per_action ~= '' and per_action or a[5]
-- A lower limit takes the limit of an action down with it, unless that was given too.
if new_action and per_action == '' and new_limit ~= 'unlimited'
  and tonumber(new_action) > tonumber(new_limit) then
  new_action = new_limit
end
if new_action and new_limit ~= 'unlimited' and tonumber(new_action) > tonumber(new_limit) then
  return {'per_action_above_limit'}
end
redis.call('HSET', idem, 'fingerprint', wish)
redis.call('PEXPIRE', idem, idem_ttl_ms)
if new_limit ~= a[1] then
  -- Lowered below what is spent or held: running calls may finish, so that much stays allowed.
  local used_up = tonumber(a[2]) + tonumber(a[3])
  if new_limit ~= 'unlimited' and used_up > tonumber(new_limit) then
    redis.call('HSET', account, 'floor', math.max(used_up, tonumber(a[4])))
  else
    redis.call('HSET', account, 'floor', 0)
  end
  redis.call('HSET', account, 'limit', new_limit, 'warned', '')
end
if new_action then redis.call('HSET', account, 'per_action', new_action) end
if warn_percent ~= '' then redis.call('HSET', account, 'warn_percent', warn_percent, 'warned', '') end
redis.call('XADD', ledger, '*', 'op', 'limit', 'id', id, 'account', name, 'from', a[1],
  'to', new_limit, 'at_ms', now)
return {'ok', new_limit, a[2], a[3]}
