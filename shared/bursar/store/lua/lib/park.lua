-- Lets go of a session whose turn waits. `why_not` says what stands against it: nil, or the answer
-- that the driver gets. A driver woken by something else than what its turn waits for parks it again.
local function why_not(session, turn, seen_seq)
  local turn_state = redis.call('HGET', turn, 'state')
  if turn_state ~= 'running' and turn_state ~= 'waiting' then return {'turn_ended', turn_state or ''} end
  local inbox_seq = redis.call('HGET', session, 'inbox_seq')
  if tonumber(inbox_seq) > tonumber(seen_seq) then return {'more', inbox_seq} end
  return nil
end
local function park(sid, ref, turn, leases, append_no, seen_seq, reason, now)
  local state = redis.call('HGET', session, 'state')
  set_turn_state(turn, redis.call('HGET', turn, 'state'), 'waiting')
  redis.call('HSET', turn, 'waiting_for', reason)
  redis.call('HSET', session, 'append_no', append_no, 'seen_seq', seen_seq, 'attempts', 0)
  set_state(sid, state, 'waiting', now)
  release_lease(session, leases, ws_stats, ref)
end
