-- Records a cancel. A queued turn ends here and now; a started one gets an inbox item for its driver.
-- KEYS: session events stats ws_stats idle queued running waiting ended inbox turn ready workspace
--       audit due
-- ARGV: sid ref tid reason cancelled_event ended_event log_max log_ttl_ms turn_ttl_ms audit_body
--       ended_audit ended_timer
--       audit_body: of the cancel, if a person asks for it; empty for none
-- Returns {'cancelled'} | {'asked', 'ring' | 'held', worker, agent, priority, epoch, inbox_seq} |
--         {'terminal', state} | {'not_found'}
-- durable
-- flags: allow-oom
-- include: clock
-- include: args
-- include: ended
-- include: events
-- include: lease
-- include: cancel
local inbox, turn, ready, workspace, log = KEYS[10], KEYS[11], KEYS[12], KEYS[13], KEYS[14]
local due = KEYS[15]
local sid, ref, tid, reason, event, ended_event = take(), take(), take(), take(), take(), take()
local log_max, log_ttl_ms, turn_ttl_ms, audit_body, ended_audit = take(), take(), take(), take(), take()
local timer = take()
local t = redis.call('HMGET', turn, 'state', 'session', 'inbox_seq', 'cancel_ms')
if t[2] ~= sid then return {'not_found'} end
if t[1] ~= 'queued' and t[1] ~= 'running' and t[1] ~= 'waiting' then return {'terminal', t[1]} end
local s = redis.call('HMGET', session, 'state', 'lease_until_ms', 'worker', 'agent', 'priority', 'epoch',
  'ending', 'turn')
-- Asking again changes nothing, so that nobody fills the log by it.
if audit_body ~= '' and not t[4] then audit(workspace, log, now, audit_body) end
if t[1] ~= 'queued' then
  local inbox_seq = string.format('%d', ask_cancel(session, inbox, turn, tid, reason, now))
  if tonumber(s[2]) > now then return {'asked', 'held', s[3], s[4], s[5], s[6], inbox_seq} end
  make_ready(session, ready, ref, now)
  return {'asked', 'ring', '', s[4], s[5], s[6], inbox_seq}
end
redis.call('LREM', inbox, 1, t[3] .. ' input ' .. tid)
set_turn_state(turn, 'queued', 'cancelled')
redis.call('HSET', turn, 'ended_ms', now, 'code', 'cancelled', 'reason', reason)
redis.call('HDEL', turn, 'input')
redis.call('PEXPIRE', turn, turn_ttl_ms)
local list = {'turn.cancelled', event}
-- A lease that ran out but was never given back still counts as held: who takes the session over
-- finds nothing to do and gives it back in order.
if s[8] == '' and s[2] == '0' and redis.call('LLEN', inbox) == 0 then
  redis.call('ZREM', ready, ref)
  if s[7] == '1' then
    end_session(sid, s[1], workspace, log, ended_audit, due, timer, now)
    list[3], list[4] = 'session.ended', ended_event
  else
    set_state(sid, s[1], 'idle', now)
  end
  redis.call('PEXPIRE', events, log_ttl_ms)
end
emit(session, events, log_max, now, list)
return {'cancelled'}
