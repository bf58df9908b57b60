-- A session's life is over, which is on record. Its questions, what was allowed to it and the like are
-- cleared up by whoever finds the timer in `due`. The root of a tree ends last: while others live below
-- it, a timer is left that ends it when they have. Returns whether it has ended.
-- include: state
-- include: audit
local function end_session(sid, ref, from, workspace, log, audit_body, due, timer, now)
  if tree == session and redis.call('SCARD', live) > 0 then
    set_state(sid, from, 'idle', now)
    redis.call('ZADD', due, now, 'tree ' .. ref .. ' -')
    return false
  end
  audit(workspace, log, now, audit_body)
  set_state(sid, from, 'ended', now)
  count('sessions:live', -1)
  if tree ~= session then redis.call('SREM', live, sid) end
  redis.call('ZADD', due, now, timer)
  return true
end
