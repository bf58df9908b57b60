-- Changes the limits of an account, or lets one go on that was frozen, with a ledger entry. An id that
-- was used before changes nothing.
-- KEYS: account ledger idem questions workspace audit
-- ARGV: name id limit token_limit per_action per_turn warn_percent kept_max action_max acknowledge
--       idem_ttl_ms audit_body
-- Empty values leave what is there; `none` takes a per_turn away.
-- Returns {'ok', limit, posted, pending, waiting} | {'repeat'} | {'id_conflict'} | {'no_account'} |
--         {'bad_amount'} | {'per_action_above_limit'}
-- durable
-- include: clock
-- include: args
-- include: money
-- include: audit
local account, ledger, idem, questions = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local workspace, log = KEYS[5], KEYS[6]
local name, id, limit, token_limit, per_action = take(), take(), take(), take(), take()
local per_turn, warn_percent, kept_max, action_max = take(), take(), take(), take()
local acknowledge, idem_ttl_ms, audit_body = take(), take(), take()
local wish = table.concat({limit, token_limit, per_action, per_turn, warn_percent, acknowledge}, '/')
local a = redis.call('HMGET', account, 'limit', 'posted', 'pending', 'floor', 'per_action', 'token_limit',
  'frozen', 'waiting', 'overrun')
if not a[1] then return {'no_account'} end
local function wrong(value, word) return value ~= '' and value ~= word and not amount(value) end
if wrong(limit, 'unlimited') or wrong(token_limit, 'unlimited') or wrong(per_action) or wrong(per_turn, 'none')
  or wrong(warn_percent) or not amount(kept_max) or not amount(action_max) then
  return {'bad_amount'}
end
local used = redis.call('HGET', idem, 'fingerprint')
if used == wish then return {'repeat'} end
if used then return {'id_conflict'} end
local new_limit, new_action = limit ~= '' and limit or a[1], per_action ~= '' and per_action or a[5]
-- A lower limit takes the limit of an action down with it, unless that was given too; a higher one
-- takes up what was bounded by the old limit alone.
if new_action and per_action == '' and new_limit ~= 'unlimited' then
  if a[5] == a[1] then new_action = string.format('%d', math.max(tonumber(a[5]), tonumber(action_max))) end
  if tonumber(new_action) > tonumber(new_limit) then new_action = new_limit end
end
if new_action and new_limit ~= 'unlimited' and tonumber(new_action) > tonumber(new_limit) then
  return {'per_action_above_limit'}
end
audit(workspace, log, now, audit_body)
redis.call('HSET', idem, 'fingerprint', wish)
redis.call('PEXPIRE', idem, idem_ttl_ms)
if new_limit ~= a[1] then
  -- Lowered below what is spent or held: running calls may finish, so that much stays allowed.
  local used_up = tonumber(a[2]) + tonumber(a[3])
  local floor, kept = 0, 0
  if new_limit ~= 'unlimited' then
    if used_up > tonumber(new_limit) then floor = math.max(used_up, tonumber(a[4])) end
    kept = math.min(math.floor(tonumber(new_limit) / 20), tonumber(kept_max))
  end
  redis.call('HSET', account, 'limit', new_limit, 'floor', floor, 'kept', kept, 'warned', '')
end
if token_limit ~= '' then redis.call('HSET', account, 'token_limit', token_limit) end
if new_action then redis.call('HSET', account, 'per_action', new_action) end
if per_turn ~= '' then redis.call('HSET', account, 'per_turn', per_turn == 'none' and '' or per_turn) end
if warn_percent ~= '' then redis.call('HSET', account, 'warn_percent', warn_percent, 'warned', '') end
if acknowledge == '1' then redis.call('HSET', account, 'frozen', 0) end
-- Where turns wait, waking them finds out whether the question about the account is answered.
if (a[8] or '0') == '0' then
  redis.call('HDEL', account, 'asked_ms')
  redis.call('ZREM', questions, name)
end
redis.call('XADD', ledger, '*', 'op', acknowledge == '1' and 'acknowledge' or 'limit', 'id', id,
  'account', name, 'from', a[1], 'to', new_limit, 'tokens_from', a[6],
  'tokens_to', token_limit ~= '' and token_limit or a[6], 'overrun', a[9], 'at_ms', now)
return {'ok', new_limit, a[2], a[3], a[8] or '0'}
