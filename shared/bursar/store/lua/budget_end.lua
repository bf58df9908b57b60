-- Ends a hold. `commit` books what was really spent, `release` gives the held amount back,
-- `expire` books a sent hold in full as unconfirmed and gives back one that was not sent.
-- Commit and release are authorised by the secret, so that a fenced worker which knows the true
-- usage may still book it; expire is for the sweeper and for a session's next owner.
-- KEYS: hold effects timers ledger stats ws_stats turn account+
-- ARGV: op secret actual account_names hold_ttl_ms only_if_due
-- Returns {'ok', ended_as, actual, {accounts over their warn level}} | {'repeat', state, actual} |
--         {'no_hold'} | {'bad_secret'} | {'path_mismatch'} | {'bad_amount'} | {'not_due'}
-- flags: allow-oom
-- include: clock
-- include: args
-- include: money
local hold, effects, timers, ledger = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local stats, ws_stats, turn, accounts = KEYS[5], KEYS[6], KEYS[7], keys_from(8)
local op, secret, actual, names, hold_ttl_ms, only_if_due = take(), take(), take(), take(), take(), take()
local facts = read_hold(hold)
if not facts then return {'no_hold'} end
if op ~= 'expire' and facts.secret ~= secret then return {'bad_secret'} end
if facts.accounts ~= names then return {'path_mismatch'} end
if facts.state ~= 'open' then return {'repeat', facts.state, facts.actual} end
if op == 'commit' and not amount(actual) then return {'bad_amount'} end
if only_if_due == '1' and tonumber(redis.call('ZSCORE', timers, facts.timer) or 0) > now then
  return {'not_due'}
end
local ended_as = op == 'commit' and 'committed' or 'released'
if op == 'release' then actual = '0' end
if op == 'expire' then
  if facts.sent == '1' then
    actual, ended_as = facts.cost, 'unconfirmed'
  else
    actual = '0'
  end
end
local over = settle(hold, facts, split(names), accounts, actual, ended_as, now)
post_entry(ledger, facts, ended_as, actual, now)
redis.call('PEXPIRE', hold, hold_ttl_ms)
redis.call('ZREM', timers, facts.timer)
redis.call('HDEL', effects, 'hold:' .. facts.id)
if actual ~= '0' then
  -- A turn's record may have run out before a late commit; it must not be born again as a stump.
  if redis.call('EXISTS', turn) == 1 then redis.call('HINCRBY', turn, 'cost_microusd', actual) end
  redis.call('HINCRBY', stats, 'cost_microusd', actual)
  redis.call('HINCRBY', ws_stats, 'cost_microusd', actual)
end
return {'ok', ended_as, actual, over}
