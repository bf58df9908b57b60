-- Ends a session: at once when nothing is under way, else as soon as its accepted inputs are done.
-- KEYS: session events tree tree_log stats ws_stats idle queued running waiting ended live tree_blocked
--       workspace audit due
-- ARGV: sid ref event audit_body log_max log_ttl_ms ended_timer
-- Returns {'ended'} | {'ending'} | {'already'} | {'gone'}
-- include: clock
-- include: ended
-- include: events
local workspace, log, due = KEYS[14], KEYS[15], KEYS[16]
local sid, ref, event, audit_body = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local log_max, log_ttl_ms, timer = ARGV[5], ARGV[6], ARGV[7]
local s = redis.call('HMGET', session, 'id', 'state', 'ending')
if not s[1] then return {'gone'} end
if s[2] == 'ended' then return {'already'} end
-- Asking again for what is under way already is no news.
if s[2] ~= 'idle' then
  if s[3] ~= '1' then audit(workspace, log, now, extend(audit_body, '"outcome":"ending"')) end
  redis.call('HSET', session, 'ending', 1)
  return {'ending'}
end
redis.call('HSET', session, 'ending', 1)
local record = extend(audit_body, '"outcome":"ended"')
if not end_session(sid, ref, 'idle', workspace, log, record, due, timer, now) then return {'ending'} end
emit(session, events, log_max, now, {'session.ended', event})
redis.call('PEXPIRE', events, log_ttl_ms)
return {'ended'}
