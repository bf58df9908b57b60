-- Ends a session: at once when nothing is under way, else as soon as its accepted inputs are done.
-- KEYS: session events stats ws_stats idle queued running waiting ended workspace audit due
-- ARGV: sid event audit_body log_max log_ttl_ms ended_timer
-- Returns {'ended'} | {'ending'} | {'already'} | {'gone'}
-- include: clock
-- include: ended
-- include: events
local workspace, log, due = KEYS[10], KEYS[11], KEYS[12]
local sid, event, audit_body, log_max, log_ttl_ms, timer = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
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
end_session(sid, 'idle', workspace, log, extend(audit_body, '"outcome":"ended"'), due, timer, now)
emit(session, events, log_max, now, {'session.ended', event})
redis.call('PEXPIRE', events, log_ttl_ms)
return {'ended'}
