-- Holds an amount on a whole path of accounts before the money is spent, or refuses and changes
-- nothing. Order: what one action and one turn may cost, then the accounts as given.
-- KEYS: session effects hold timers turn account+
-- ARGV: epoch owner id timer secret cost tokens sent ttl_ms account_names sid tid step kind price
--       account_names: ws, the user, the sessions from the root down to the own one
--       kind: what it is for; `closing…` may use what is kept back for a closing answer, once a turn
-- Returns {'ok', warned} | {'repeat', state, secret} | {'id_conflict'} | {'fenced'} | {'bad_amount'} |
--   {'no_account', name} | {'closing_used'} |
--   {'refused', kind, name, limit, posted, pending, requested, available, unit}
--   warned: whether an account of the path is over its warn level
--   kind: per_action, per_turn, frozen, contended (only others' pending is in the way), exhausted
-- A repeat with the same amounts answers as the first did; a fresh secret is not taken then.
-- durable
-- include: clock
-- include: args
-- include: money
-- include: room
local session, effects, hold, timers, turn = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local accounts = keys_from(6)
local epoch, owner, id, timer, secret = take(), take(), take(), take(), take()
local cost_text, tokens_text, sent, ttl_ms, names = take(), take(), take(), take(), take()
local sid, tid, step, kind, price = take(), take(), take(), take(), take()
local cost, tokens = amount(cost_text), amount(tokens_text)
if not cost or not tokens then return {'bad_amount'} end
local s = redis.call('HMGET', session, 'epoch', 'owner', 'lease_until_ms')
if s[1] ~= epoch or s[2] ~= owner or s[3] == '0' then return {'fenced'} end
local first = redis.call('HMGET', hold, 'cost', 'state', 'secret', 'accounts', 'tokens')
if first[1] then
  if first[1] ~= cost_text or first[4] ~= names or first[5] ~= tokens_text then return {'id_conflict'} end
  return {'repeat', first[2], first[3]}
end
local last = #accounts
local own_account = accounts[last]
local function refuse(why, i, limit, posted, pending, wanted, room, unit)
  return {'refused', why, name_at(names, i), limit, posted, pending, wanted,
    string.format('%d', math.max(0, room)), unit or 'microusd'}
end
local own = redis.call('HMGET', own_account, 'per_action', 'per_turn', 'limit')
-- One that equals the limit is none of its own; that refusal may end, this one does not.
if own[1] and own[1] ~= own[3] and cost > tonumber(own[1]) then
  return refuse('per_action', last, own[1], '0', '0', cost_text, tonumber(own[1]))
end
local capped = own[2] and own[2] ~= ''
if capped then
  local t = redis.call('HMGET', turn, 'cost_microusd', 'held_microusd')
  local spent, held = t[1] or '0', t[2] or '0'
  local room = tonumber(own[2]) - tonumber(spent) - tonumber(held)
  if cost > room then return refuse('per_turn', last, own[2], spent, held, cost_text, room) end
end
local closing = string.sub(kind, 1, 7) == 'closing'
if closing and redis.call('HEXISTS', turn, 'closing') == 1 then return {'closing_used'} end
local changes, warned = {}, '0'
for i, account in ipairs(accounts) do
  local a = redis.call('HMGET', account, 'limit', 'posted', 'pending', 'kept', 'frozen', 'token_limit',
    'tokens_posted', 'tokens_pending', 'warned')
  if not a[1] or not a[6] then return {'no_account', name_at(names, i)} end
  local posted, pending = tonumber(a[2]), tonumber(a[3])
  -- Only the root and the own session keep something back.
  local kept = not closing and i >= 3 and (i == 3 or i == last) and a[4]
  local limit, token_limit = limit_of(a[1], kept), limit_of(a[6])
  if a[5] == '1' then return refuse('frozen', i, limit and a[1] or '0', a[2], a[3], cost_text, 0) end
  local why = limit and refusal_of(limit, posted, pending, cost)
  if why then return refuse(why, i, a[1], a[2], a[3], cost_text, limit - posted - pending) end
  local tokens_pending = tonumber(a[8])
  why = token_limit and refusal_of(token_limit, tonumber(a[7]), tokens_pending, tokens)
  if why then
    return refuse(why, i, a[6], a[7], a[8], tokens_text, token_limit - tonumber(a[7]) - tokens_pending, 'tokens')
  end
  if a[9] ~= '' then warned = '1' end
  changes[i] = {pending + cost, tokens_pending + tokens}
end
for i, account in ipairs(accounts) do
  redis.call('HSET', account, 'pending', changes[i][1], 'tokens_pending', changes[i][2])
end
redis.call('HSET', hold, 'id', id, 'secret', secret, 'state', 'open', 'cost', cost_text,
  'tokens', tokens_text, 'sent', sent, 'accounts', names, 'session', sid, 'turn', tid, 'step', step,
  'kind', kind, 'price', price, 'timer', timer, 'epoch', epoch, 'capped', capped and 1 or 0, 'created_ms', now)
redis.call('ZADD', timers, now + tonumber(ttl_ms), timer)
redis.call('HSET', effects, 'hold:' .. id, names)
if capped then redis.call('HINCRBY', turn, 'held_microusd', cost_text) end
if closing then redis.call('HSET', turn, 'closing', id) end
return {'ok', warned}
