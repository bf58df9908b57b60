-- Starts an account anew: what was spent moves into the ledger, what is held stays held and is booked
-- into the new period.
-- KEYS: account ledger timers idem questions workspace audit
-- ARGV: name id timer due_ms next_ms idem_ttl_ms audit_body
--       due_ms: the reset that is due, so that none happens twice; empty for one that people ask for
-- Returns {'ok', posted, waiting} | {'repeat'} | {'kept'} | {'no_account'} | {'bad_amount'}
-- durable
-- include: clock
-- include: args
-- include: money
-- include: audit
local account, ledger, timers, idem, questions = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local workspace, log = KEYS[6], KEYS[7]
local name, id, timer, due_ms, next_ms = take(), take(), take(), take(), take()
local idem_ttl_ms, audit_body = take(), take()
local a = redis.call('HMGET', account, 'limit', 'posted', 'pending', 'tokens_posted', 'resets_ms', 'waiting',
  'overrun')
if not a[1] then
  redis.call('ZREM', timers, timer)
  return {'no_account'}
end
if due_ms ~= '' and (a[5] ~= due_ms or tonumber(due_ms) > now) then return {'kept'} end
if due_ms ~= '' and not amount(next_ms) then return {'bad_amount'} end
if due_ms == '' then
  if redis.call('HSETNX', idem, 'fingerprint', name) == 0 then return {'repeat'} end
  redis.call('PEXPIRE', idem, idem_ttl_ms)
end
audit(workspace, log, now, audit_body)
local pending, floor = tonumber(a[3]), 0
if a[1] ~= 'unlimited' and pending > tonumber(a[1]) then floor = pending end
redis.call('HSET', account, 'posted', 0, 'tokens_posted', 0, 'overrun', 0, 'floor', floor, 'warned', '')
if due_ms ~= '' then
  redis.call('HSET', account, 'resets_ms', next_ms)
  redis.call('ZADD', timers, next_ms, timer)
end
-- A frozen account stays frozen: why it was overdrawn is still not known. Where turns wait, waking
-- them finds out whether the question about the account is answered.
if (a[6] or '0') == '0' then
  redis.call('HDEL', account, 'asked_ms')
  redis.call('ZREM', questions, name)
end
redis.call('XADD', ledger, '*', 'op', 'reset', 'id', id, 'account', name, 'posted', a[2],
  'tokens', a[4], 'overrun', a[7], 'at_ms', now)
return {'ok', a[2], a[6] or '0'}
