-- Records a cancel. A queued turn ends here and now; a started one gets an inbox item for its driver.
-- KEYS: session events tree tree_log stats ws_stats idle queued running waiting ended live tree_blocked
--       inbox turn ready workspace audit due account blocked
--       parent parent_log parent_inbox parent_turn joins parent_ready
-- ARGV: sid ref tid code reason limit cancelled_event ended_event log_max log_ttl_ms turn_ttl_ms audit_body
--       ended_audit ended_timer join slot parent_ref parent_tid finished_event
--       limit: 1 if the turn has had its time, which it must have then; join: empty for none
--       audit_body: of the cancel, if a person asks for it; empty for none
-- Returns {'cancelled', 'ring' | 'held' | 'none', worker, agent, priority, epoch, inbox_seq} |
--         {'asked', 'ring' | 'held', worker, agent, priority, epoch, inbox_seq} |
--         {'terminal', state} | {'not_found'} | {'not_due'}
-- 'cancelled' says how the session above is told, 'asked' how this one is.
-- durable
-- flags: allow-oom
-- include: clock
-- include: args
-- include: ended
-- include: events
-- include: lease
-- include: cancel
-- include: report
local inbox, turn, ready, workspace, log = KEYS[14], KEYS[15], KEYS[16], KEYS[17], KEYS[18]
local due, account, blocked = KEYS[19], KEYS[20], KEYS[21]
local sid, ref, tid, code, reason, limit = take(), take(), take(), take(), take(), take()
local event, ended_event = take(), take()
local log_max, log_ttl_ms, turn_ttl_ms, audit_body, ended_audit = take(), take(), take(), take(), take()
local timer, above = take(), read_report(22)
local t = redis.call('HMGET', turn, 'state', 'session', 'inbox_seq', 'cancel_ms', 'children')
if t[2] ~= sid then return {'not_found'} end
if t[1] ~= 'queued' and t[1] ~= 'running' and t[1] ~= 'waiting' then return {'terminal', t[1]} end
if limit == '1' then
  local due_ms = redis.call('ZSCORE', due, limit_timer(ref, tid))
  if not due_ms or tonumber(due_ms) > now then return {'not_due'} end
  redis.call('ZREM', due, limit_timer(ref, tid))
end
local s = redis.call('HMGET', session, 'state', 'lease_until_ms', 'worker', 'agent', 'priority', 'epoch',
  'ending', 'turn')
-- Asking again changes nothing, so that nobody fills the log by it.
if audit_body ~= '' and not t[4] then audit(workspace, log, now, audit_body) end
if t[1] ~= 'queued' then
  -- For what is below it, should the caller die before it has told all of that.
  if tonumber(t[5] or 0) > 0 then redis.call('ZADD', due, now + 1000, 'tree ' .. ref .. ' ' .. tid) end
  local inbox_seq = string.format('%d', ask_cancel(session, account, inbox, turn, tid, code, reason, now))
  if tonumber(s[2]) > now then return {'asked', 'held', s[3], s[4], s[5], s[6], inbox_seq} end
  make_ready(session, ready, ref, now)
  return {'asked', 'ring', '', s[4], s[5], s[6], inbox_seq}
end
redis.call('LREM', inbox, 1, t[3] .. ' input ' .. tid)
set_turn_state(turn, 'queued', 'cancelled')
redis.call('HSET', turn, 'ended_ms', now, 'code', code, 'reason', reason)
redis.call('HDEL', turn, 'input')
redis.call('PEXPIRE', turn, turn_ttl_ms)
local list = {'turn.cancelled', event}
-- A lease that ran out but was never given back still counts as held: who takes the session over
-- finds nothing to do and gives it back in order.
if s[8] == '' and s[2] == '0' and redis.call('LLEN', inbox) == 0 then
  redis.call('ZREM', ready, ref)
  unblock(session, blocked, tree_blocked, ref)
  if s[7] == '1' then
    if end_session(sid, ref, s[1], workspace, log, ended_audit, due, timer, now) then
      list[3], list[4] = 'session.ended', ended_event
    end
  else
    set_state(sid, s[1], 'idle', now)
  end
  redis.call('PEXPIRE', events, log_ttl_ms)
end
emit(session, events, log_max, now, list)
return {'cancelled', unpack(report(above, sid, ref, tid, turn, due, 'cancelled', code, log_max, now))}
