-- Closes an open question without an answer: its call was given up, is another one by now, or was
-- granted meanwhile. Closing one that is not open changes nothing.
-- KEYS: session events tree tree_log stats ws_stats idle queued running waiting ended live tree_blocked
--       inbox ready workspace audit
--       feed outbox approval approvals open timers repeats effects grants
-- ARGV: epoch owner id timer state why ttl_ms log_max told audit_body
--       epoch: empty for one who holds no lease; state: cancelled, void or granted
-- Returns {'ok'} | {'already', state} | {'fenced'} | {'no_approval'}
-- flags: allow-oom
-- include: clock
-- include: args
-- include: approvals
local epoch, owner, id, timer, state, why = take(), take(), take(), take(), take(), take()
local ttl_ms, log_max, told, audit_body = take(), take(), take(), take()
if epoch ~= '' then
  local s = redis.call('HMGET', session, 'epoch', 'owner', 'lease_until_ms')
  if s[1] ~= epoch or s[2] ~= owner or s[3] == '0' then return {'fenced'} end
end
local a = redis.call('HMGET', approval, 'state', 'repeat_key')
if not a[1] then
  redis.call('ZREM', approvals, id)
  redis.call('SREM', open, id)
  return {'no_approval'}
end
local is_open = a[1] == 'pending' or a[1] == 'deferred'
-- An approval that was given but cannot be used any more ends, too.
if not is_open and not (a[1] == 'approved' and state ~= 'granted') then return {'already', a[1]} end
redis.call('HSET', approval, 'state', state, 'why', why, 'closed_ms', now)
redis.call('PEXPIRE', approval, ttl_ms)
if is_open then
  take_off(id, timer, a[2], state)
  -- The session may be gone, and its log with it.
  if redis.call('EXISTS', session) == 1 then tell('approval.resolved', told, log_max, now) end
end
audit(workspace, log, now, audit_body)
return {'ok'}
