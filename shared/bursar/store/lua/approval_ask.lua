-- Asks people about a tool call: the question is on record before anyone is told.
-- KEYS: session events tree tree_log stats ws_stats idle queued running waiting ended live tree_blocked
--       inbox ready workspace audit
--       feed outbox approval approvals open timers repeats effects grants
-- ARGV: epoch owner append_no call_field gate_version id timer repeat_key deadline_ms max_open max_own
--       log_max told audit_body n (field value)*
--       deadline_ms: how long from now; max_own: open questions of the session
--       told: body of approval.requested; audit_body: without the question's id
-- Returns {'ok', seq} | {'repeat', seq} | {'merged', id} | {'fenced'} | {'gone'} | {'no_call'} |
--   {'stale', gate_version} | {'too_many', max}
--   merged: the same call waits in the deferred queue already, as that question
-- durable
-- include: clock
-- include: args
-- include: fence
-- include: approvals
local epoch, owner, append_no, call, version, id = take(), take(), take(), take(), take(), take()
local timer, repeat_key, deadline_ms, max_open, max_own = take(), take(), tonumber(take()), take(), take()
local log_max, told, audit_body, fields = take(), take(), take(), take_list(2)
local verdict = fence(session, epoch, owner, append_no)
local earlier = redis.call('HGET', repeats, repeat_key)
if verdict == 'repeat' then
  if earlier and redis.call('HGET', effects, call) ~= 'waiting ' .. id then return {'merged', earlier} end
  return {'repeat', redis.call('HGET', session, 'event_seq')}
end
if verdict ~= 'ok' then return {verdict} end
if redis.call('HEXISTS', effects, call) == 0 then return {'no_call'} end
local current = redis.call('HGET', workspace, 'gate_version') or '0'
if current ~= version then return {'stale', current} end
if not earlier then
  if redis.call('ZCARD', approvals) >= tonumber(max_open) then return {'too_many', max_open} end
  if redis.call('SCARD', open) >= tonumber(max_own) then return {'too_many', max_own} end
end

redis.call('HSET', session, 'append_no', append_no)
audit(workspace, log, now, extend(audit_body, '"proof_id":"' .. (earlier or id) .. '"'))
if earlier then
  redis.call('HINCRBY', repeats, earlier .. ':again', 1)
  return {'merged', earlier}
end
local deadline = string.format('%d', now + deadline_ms)
redis.call('HSET', approval, 'state', 'pending', 'created_ms', now, 'deadline_ms', deadline, unpack(fields))
redis.call('ZADD', approvals, now, id)
redis.call('SADD', open, id)
redis.call('ZADD', timers, deadline, timer)
redis.call('HSET', effects, call, 'waiting ' .. id)
redis.call('HINCRBY', session, 'approval_count', 1)
count('approvals:open', 1)
count('approvals:asked', 1)
local heard = tell('approval.requested', extend(told, '"deadline_ms":' .. deadline), log_max, now)
redis.call('HSET', approval, 'heard', heard)
return {'ok', redis.call('HGET', session, 'event_seq')}
