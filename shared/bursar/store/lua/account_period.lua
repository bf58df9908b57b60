-- Lets an account start anew each day or month, from a moment on; or never again.
-- KEYS: account ledger timers idem workspace audit
-- ARGV: name id timer period time_zone resets_ms idem_ttl_ms audit_body
--       period: none, day or month; resets_ms: the first reset, 0 for none
-- Returns {'ok'} | {'repeat'} | {'id_conflict'} | {'no_account'} | {'bad_amount'} | {'period_past'}
-- durable
-- include: clock
-- include: args
-- include: money
-- include: audit
local account, ledger, timers, idem = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local workspace, log = KEYS[5], KEYS[6]
local name, id, timer, period, zone = take(), take(), take(), take(), take()
local resets_ms, idem_ttl_ms, audit_body = take(), take(), take()
local old = redis.call('HMGET', account, 'limit', 'period')
if not old[1] then return {'no_account'} end
local due = amount(resets_ms)
if not due then return {'bad_amount'} end
local wish = table.concat({period, zone, resets_ms}, '/')
local used = redis.call('HGET', idem, 'fingerprint')
if used == wish then return {'repeat'} end
if used then return {'id_conflict'} end
if period ~= 'none' and due <= now then return {'period_past'} end
audit(workspace, log, now, audit_body)
redis.call('HSET', idem, 'fingerprint', wish)
redis.call('PEXPIRE', idem, idem_ttl_ms)
redis.call('HSET', account, 'period', period, 'time_zone', zone, 'resets_ms', resets_ms)
if period == 'none' then
  redis.call('ZREM', timers, timer)
else
  redis.call('ZADD', timers, due, timer)
end
redis.call('XADD', ledger, '*', 'op', 'period', 'id', id, 'account', name, 'from', old[2] or 'none',
  'to', period, 'time_zone', zone, 'resets_ms', resets_ms, 'at_ms', now)
return {'ok'}
