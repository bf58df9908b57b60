-- Lets go of a session whose turn waits. `why_not` says what stands against it: nil, or the answer
-- that the driver gets. A driver woken by something else than what its turn waits for parks it again.
-- include: time_limit
local function why_not(session, turn, seen_seq, reason)
  local t = redis.call('HMGET', turn, 'state', 'children')
  if t[1] ~= 'running' and t[1] ~= 'waiting' then return {'turn_ended', t[1] or ''} end
  local inbox_seq = redis.call('HGET', session, 'inbox_seq')
  if tonumber(inbox_seq) > tonumber(seen_seq) then return {'more', inbox_seq} end
  -- The last child's end would have woken it, had it waited already.
  if reason == 'stopping' and tonumber(t[2] or 0) == 0 then return {'fits'} end
  return nil
end
local function park(sid, ref, tid, turn, leases, timers, append_no, seen_seq, reason, now)
  local state = redis.call('HGET', session, 'state')
  set_turn_state(turn, redis.call('HGET', turn, 'state'), 'waiting')
  redis.call('HSET', turn, 'waiting_for', reason)
  redis.call('HSET', session, 'append_no', append_no, 'seen_seq', seen_seq, 'attempts', 0)
  stop_clock(timers, ref, tid, now)
  set_state(sid, state, 'waiting', now)
  release_lease(session, tree, leases, ws_stats, ref)
end
