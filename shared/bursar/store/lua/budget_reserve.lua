-- Holds an amount on a whole path of accounts before the money is spent, or refuses and changes
-- nothing. Order: per-action limit, then the accounts as given (workspace, user, root … own).
-- KEYS: session effects hold timers account+
-- ARGV: epoch owner id timer secret cost tokens sent ttl_ms account_names sid tid step kind price
-- Returns {'ok'} | {'repeat', state, secret} | {'id_conflict'} | {'fenced'} | {'bad_amount'} |
--   {'no_account', name} |
--   {'refused', kind, name, limit, posted, pending, requested, available}
--   kind: per_action, contended (only others' pending is in the way), exhausted
-- A repeat with the same cost answers as the first did; a fresh secret is not taken then.
-- include: clock
-- include: args
-- include: money
local session, effects, hold, timers = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local accounts = keys_from(5)
local epoch, owner, id, timer, secret = take(), take(), take(), take(), take()
local cost_text, tokens, sent, ttl_ms, names = take(), take(), take(), take(), take()
local sid, tid, step, kind, price = take(), take(), take(), take(), take()
local cost = amount(cost_text)
if not cost then return {'bad_amount'} end
local s = redis.call('HMGET', session, 'epoch', 'owner', 'lease_until_ms')
if s[1] ~= epoch or s[2] ~= owner or s[3] == '0' then return {'fenced'} end
local first = redis.call('HMGET', hold, 'cost', 'state', 'secret', 'accounts')
if first[1] then
  if first[1] ~= cost_text or first[4] ~= names then return {'id_conflict'} end
  return {'repeat', first[2], first[3]}
end
local name = split(names)
local own = accounts[#accounts]
local per_action = redis.call('HGET', own, 'per_action')
if per_action and cost > tonumber(per_action) then
  return {'refused', 'per_action', name[#name], per_action, '0', '0', cost_text, per_action}
end
for i, account in ipairs(accounts) do
  local a = redis.call('HMGET', account, 'limit', 'posted', 'pending')
  if not a[1] then return {'no_account', name[i]} end
  if a[1] ~= 'unlimited' then
    local limit, posted, pending = tonumber(a[1]), tonumber(a[2]), tonumber(a[3])
    if posted + pending + cost > limit then
      local refusal = posted + cost <= limit and 'contended' or 'exhausted'
      return {'refused', refusal, name[i], a[1], a[2], a[3], cost_text,
        string.format('%d', math.max(0, limit - posted - pending))}
    end
  end
end
for _, account in ipairs(accounts) do redis.call('HINCRBY', account, 'pending', cost_text) end
redis.call('HSET', hold, 'id', id, 'secret', secret, 'state', 'open', 'cost', cost_text,
  'tokens', tokens, 'sent', sent, 'accounts', names, 'session', sid, 'turn', tid, 'step', step,
  'kind', kind, 'price', price, 'timer', timer, 'created_ms', now)
redis.call('ZADD', timers, now + tonumber(ttl_ms), timer)
redis.call('HSET', effects, 'hold:' .. id, names)
return {'ok'}
