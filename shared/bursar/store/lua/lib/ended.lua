-- A session's life is over, which is on record. Its questions, what was allowed to it and the like are
-- cleared up by whoever finds the timer in `due`.
-- include: state
-- include: audit
local function end_session(sid, from, workspace, log, audit_body, due, timer, now)
  audit(workspace, log, now, audit_body)
  set_state(sid, from, 'ended', now)
  count('sessions:live', -1)
  redis.call('ZADD', due, now, timer)
end
