-- Holds an amount on a whole path of accounts before the money is spent, or refuses and changes
-- nothing. Order: what one action and one turn may cost, then the accounts as given.
-- KEYS: session effects hold timers turn account+
-- ARGV: epoch owner id timer secret cost tokens sent ttl_ms account_names sid tid step kind price
--       account_names: ws, the user, the sessions from the root down to the own one
--       kind: what it is for; `closing…` may use what is kept back for a closing answer, once a turn
-- Returns {'ok', warned} | {'repeat', state, secret} | {'id_conflict'} | {'fenced'} | {'bad_amount'} |
--   {'no_account', name} | {'closing_used'} | {'tree_cancelled'} |
--   {'refused', kind, name, limit, posted, pending, requested, available, unit}
--   tree_cancelled: the turn is to be cancelled, or one above it was
--   warned: whether an account of the path is over its warn level
--   kind: per_action, per_turn, frozen, contended (only others' pending is in the way), exhausted
-- A repeat with the same amounts answers as the first did; a fresh secret is not taken then.
-- durable
-- include: clock
-- include: args
-- include: reserve
local session, effects, hold, timers, turn = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local accounts = keys_from(6)
local epoch, owner, wish = take(), take(), read_wish()
if not wish.cost or not wish.tokens then return {'bad_amount'} end
local s = redis.call('HMGET', session, 'epoch', 'owner', 'lease_until_ms', 'cancelling', 'born')
if s[1] ~= epoch or s[2] ~= owner or s[3] == '0' then return {'fenced'} end
if s[4] == '1' then return {'tree_cancelled'} end
local plan, refusal = plan_hold(wish, hold, turn, accounts, s[5])
if refusal then return refusal end
apply_hold(wish, plan, hold, timers, turn, effects, accounts, epoch, now)
return {'ok', plan.warned}
