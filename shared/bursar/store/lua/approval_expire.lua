-- A question's time is over: its deadline, or for a deferred one its age. What becomes of the call is
-- its fallback. A person who cannot decide now may bring the deadline about.
-- KEYS: session events tree tree_log stats ws_stats idle queued running waiting ended live tree_blocked
--       inbox ready workspace audit
--       feed outbox approval approvals open timers repeats effects grants
-- ARGV: ref id timer early age_ms ttl_ms log_max told audit_body tid
--       early: by whom, or empty; told, audit_body: without the state and the reason, added here
-- Returns {'deferred', 'held' | 'ring' | 'rest', worker, agent, priority, epoch, inbox_seq} |
--   {'expired', likewise} |
--   {'no_approval'} | {'not_due'} | {'answered', state, by, decision, note}
-- durable
-- flags: allow-oom
-- include: clock
-- include: args
-- include: approvals
local ref, id, timer, early, age_ms, ttl_ms = take(), take(), take(), take(), take(), take()
local log_max, told, audit_body, tid = take(), take(), take(), take()
local a = redis.call('HMGET', approval, 'state', 'fallback', 'heard', 'repeat_key', 'released', 'answered_by',
  'decision', 'note')
if not a[1] then
  redis.call('ZREM', timers, timer)
  return {'no_approval'}
end
if a[1] ~= 'pending' and a[1] ~= 'deferred' then
  redis.call('ZREM', timers, timer)
  return {'answered', a[1], a[6] or '', a[7] or '', a[8] or ''}
end
if redis.call('EXISTS', session) == 0 then
  redis.call('HSET', approval, 'state', 'cancelled', 'why', 'session_deleted')
  redis.call('PEXPIRE', approval, ttl_ms)
  take_off(id, timer, a[4], 'cancelled')
  return {'expired', 'rest', '', '', '', '0', '0'}
end
local due = redis.call('ZSCORE', timers, timer)
if early == '' and (not due or tonumber(due) > now) then return {'not_due'} end
if early ~= '' and a[1] == 'deferred' then return {'answered', 'deferred', a[6] or '', '', ''} end
local defers = a[1] == 'pending' and (a[2] == 'block' or a[2] == 'queue')
local state = defers and 'deferred' or 'expired'
local why = early ~= '' and 'unavailable' or a[1] == 'deferred' and 'aged_out'
  or a[3] == '0' and 'nobody_subscribed' or 'timed_out'
local waits = a[5] ~= '1'
local words = string.format('"state":"%s","why":"%s"', state, why)
redis.call('HSET', approval, 'state', state, 'why', why)
audit(workspace, log, now, extend(audit_body, string.format('"outcome":"%s","reason":"%s"', state, why)))
if defers then
  redis.call('HSET', approval, 'deferred_ms', now, 'deferred_by', early)
  redis.call('ZADD', timers, now + tonumber(age_ms), timer)
  count('approvals:deferred', 1)
  if a[2] == 'queue' then
    redis.call('HSET', approval, 'released', 1)
    redis.call('HSET', repeats, a[4], id)
  else
    waits = false
  end
  tell('approval.deferred', extend(told, words), log_max, now)
else
  take_off(id, timer, a[4], state)
  redis.call('PEXPIRE', approval, ttl_ms)
  tell('approval.resolved', extend(told, words), log_max, now)
end
if not waits then return {state, 'rest', '', '', '', '0', '0'} end
return {state, unpack(wake(ref, tid, now))}
