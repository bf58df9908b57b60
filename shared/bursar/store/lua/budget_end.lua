-- Ends a hold, or corrects what one was booked with. `commit` books what was really spent, `release`
-- gives the held amount back, `expire` books a sent hold in full as unconfirmed and gives back one
-- that was not sent, `adjust` lowers what was booked before.
-- All but expire are authorised by the secret, so that a fenced worker which knows the true usage
-- may still book it, also after its hold expired; expire is for the sweeper and for a session's next
-- owner. One whose lease is alive is not due: it is put off for as long as that is renewed.
-- KEYS: session hold effects timers ledger stats ws_stats turn workspace audit account+
-- ARGV: op secret actual tokens account_names hold_ttl_ms only_if_due audit_body
--       audit_body: of a correction; the other ends of a hold are in the ledger alone
-- Returns {'ok', ended_as, actual, {accounts over their warn level}, {accounts where turns wait}, overdrawn} |
--   {'repeat', state, actual} | {'no_hold'} | {'bad_secret'} | {'path_mismatch'} | {'bad_amount'} |
--   {'not_due'} | {'not_lower', actual} | {'hold_open'}
-- durable
-- flags: allow-oom
-- include: clock
-- include: args
-- include: money
-- include: audit
local session, hold, effects, timers, ledger = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local stats, ws_stats, turn, workspace, log = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local accounts = keys_from(11)
local op, secret, actual, tokens, names = take(), take(), take(), take(), take()
local hold_ttl_ms, only_if_due, audit_body = take(), take(), take()
local facts = read_hold(hold)
if not facts then return {'no_hold'} end
if op ~= 'expire' and facts.secret ~= secret then return {'bad_secret'} end
if facts.accounts ~= names then return {'path_mismatch'} end
local open = facts.state == 'open'
if (op == 'commit' or op == 'adjust') and not (amount(actual) and amount(tokens)) then return {'bad_amount'} end
if op == 'adjust' and open then return {'hold_open'} end
local function add_cost(by)
  if by == 0 then return end
  -- A turn's record may have run out before a late commit; it must not be born again as a stump.
  if redis.call('EXISTS', turn) == 1 then redis.call('HINCRBY', turn, 'cost_microusd', by) end
  redis.call('HINCRBY', stats, 'cost_microusd', by)
  redis.call('HINCRBY', ws_stats, 'cost_microusd', by)
end

if op == 'adjust' or (op == 'commit' and facts.state == 'unconfirmed') then
  if facts.state ~= 'committed' and facts.state ~= 'unconfirmed' then return {'repeat', facts.state, facts.actual} end
  local less = tonumber(facts.actual) - tonumber(actual)
  if op == 'adjust' and less < 0 then return {'not_lower', facts.actual} end
  -- A late commit that is dearer than what was booked changes nothing: up is not possible any more.
  if less <= 0 then actual, less = facts.actual, 0 end
  local fewer = math.max(0, tonumber(facts.actual_tokens) - tonumber(tokens))
  local waiting = {}
  if less > 0 or fewer > 0 then
    audit(workspace, log, now, extend(audit_body, string.format('"cost_microusd":%d', -less)))
  end
  for i, account in ipairs(accounts) do
    local a = redis.call('HMGET', account, 'posted', 'tokens_posted', 'waiting')
    if a[1] then
      -- Never below zero: the amount may have been booked before a period ended.
      redis.call('HSET', account, 'posted', math.max(0, tonumber(a[1]) - less),
        'tokens_posted', math.max(0, tonumber(a[2]) - fewer))
      if a[3] and a[3] ~= '0' then waiting[#waiting + 1] = name_at(names, i) end
    end
  end
  redis.call('HSET', hold, 'state', 'committed', 'actual', actual, 'actual_tokens',
    tonumber(facts.actual_tokens) - fewer)
  if less > 0 or fewer > 0 then
    facts.cost = facts.actual
    post_entry(ledger, facts, 'adjust', string.format('%d', -less), string.format('%d', -fewer), now)
    add_cost(-less)
  end
  return {'ok', 'committed', actual, {}, waiting, ''}
end

if not open then return {'repeat', facts.state, facts.actual} end
if only_if_due == '1' then
  if tonumber(redis.call('ZSCORE', timers, facts.timer) or 0) > now then return {'not_due'} end
  local s = redis.call('HMGET', session, 'epoch', 'lease_until_ms')
  if s[1] == facts.epoch and tonumber(s[2]) > now then
    redis.call('ZADD', timers, 'XX', s[2], facts.timer)
    return {'not_due'}
  end
end
local ended_as = op == 'commit' and 'committed' or 'released'
if op == 'expire' and facts.sent == '1' then
  actual, tokens, ended_as = facts.cost, facts.tokens, 'unconfirmed'
elseif op ~= 'commit' then
  actual, tokens = '0', '0'
end
local noted = settle(hold, facts, names, accounts, actual, tokens, ended_as, now)
post_entry(ledger, facts, ended_as, actual, tokens, now)
redis.call('PEXPIRE', hold, hold_ttl_ms)
redis.call('ZREM', timers, facts.timer)
redis.call('HDEL', effects, 'hold:' .. facts.id)
-- A closing answer that was not given may be tried again.
if ended_as == 'released' and string.sub(facts.kind, 1, 7) == 'closing' then redis.call('HDEL', turn, 'closing') end
if facts.capped == '1' and redis.call('EXISTS', turn) == 1 then
  redis.call('HINCRBY', turn, 'held_microusd', -facts.cost_number)
end
add_cost(tonumber(actual))
return {'ok', ended_as, actual, noted.warned, noted.waiting, noted.overdrawn or ''}
