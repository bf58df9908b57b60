-- Gives a session back without ending its turn: shutdown, an agent this worker does not serve, or
-- nothing left to do. The last completes an end that was asked for.
-- KEYS: session events tree tree_log stats ws_stats idle queued running waiting ended live tree_blocked
--       inbox leases ready blocked_cap
--       workspace audit due
-- ARGV: sid ref epoch owner ended_event ended_audit log_max log_ttl_ms ended_timer
-- Returns {'ok', 'rest', next_blocked} | {'ok', 'ring', next_blocked, agent, priority, inbox_seq} | {'fenced'}
-- flags: allow-oom
-- include: clock
-- include: ended
-- include: events
-- include: lease
local inbox, leases, ready, blocked_cap = KEYS[14], KEYS[15], KEYS[16], KEYS[17]
local workspace, log, due = KEYS[18], KEYS[19], KEYS[20]
local sid, ref, epoch, owner = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local ended_event, ended_audit, log_max, log_ttl_ms, timer = ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local s = redis.call('HMGET', session, 'epoch', 'owner', 'lease_until_ms', 'turn', 'inbox_seq', 'state',
  'ending', 'agent', 'priority')
if s[1] ~= epoch or s[2] ~= owner or s[3] == '0' then return {'fenced'} end
release_lease(session, tree, leases, ws_stats, ref)
if s[4] == '' and redis.call('LLEN', inbox) == 0 then
  if s[7] == '1' then
    if end_session(sid, ref, s[6], workspace, log, ended_audit, due, timer, now) then
      emit(session, events, log_max, now, {'session.ended', ended_event})
    end
  else
    set_state(sid, s[6], 'idle', now)
  end
  redis.call('PEXPIRE', events, log_ttl_ms)
  return {'ok', 'rest', next_blocked(blocked_cap, tree_blocked)}
end
-- A turn under way stays 'running': that is what makes the session runnable for the next owner.
if s[4] == '' then set_state(sid, s[6], 'queued', now) end
make_ready(session, ready, ref, now)
return {'ok', 'ring', next_blocked(blocked_cap, tree_blocked), s[8], s[9], s[5]}
