-- Puts turns in the line of their session. `q` says what is known of both: sid ref tid input inbox turn
-- indexes, state driven blocked_now interrupts paused no_worker tree_full of the session, and the keys
-- ready blocked blocked_paused blocked_agent.
-- include: lease
-- How many turns may wait in the workspace, if `fresh` more would be too many; `own` is its own bound.
local function queue_full(own, max_queued, fresh)
  local max = tonumber(own) and own or max_queued
  if tonumber(redis.call('HGET', ws_stats, 'turns:queued') or 0) + fresh > tonumber(max) then return max end
  return nil
end
local function write_turn(q, inbox_seq, now)
  redis.call('RPUSH', q.inbox, string.format('%d input ', inbox_seq) .. q.tid)
  redis.call('HSET', q.turn, 'id', q.tid, 'session', q.sid, 'state', 'queued', 'input', q.input,
    'inbox_seq', inbox_seq, 'created_ms', now, 'steps', 0, 'tool_calls', 0, 'input_tokens', 0,
    'output_tokens', 0, 'cost_microusd', 0)
end
-- Where the session is found: 'ring', 'blocked' or 'no_worker'.
local function place_turn(q, now)
  if q.interrupts then
    -- Its cancel waits for no pause, cap or agent: any worker can end the turn under way.
    make_ready(session, q.ready, q.ref, now)
  elseif q.blocked_now ~= '' then
    return 'blocked'
  elseif q.paused == '1' then
    block(session, q.blocked, q.blocked_paused, 'paused', q.ref, now, now)
    return 'blocked'
  elseif q.no_worker == '1' then
    block(session, q.blocked, q.blocked_agent, 'agent', q.ref, now, now)
    return 'no_worker'
  elseif q.tree_full then
    block(session, q.blocked, tree_blocked, 'tree', q.ref, now, now)
    return 'blocked'
  else
    make_ready(session, q.ready, q.ref, now)
  end
  return 'ring'
end
-- The events of a turn that was put in line, and 'ring', 'held' or 'blocked'.
local function queued_events(outcome, queued, waiting)
  if outcome ~= 'no_worker' then return {'turn.queued', queued}, outcome end
  return {'turn.queued', queued, 'turn.waiting', waiting}, 'blocked'
end
-- Puts a turn at the end of its session's line, and the session where somebody finds it. Returns the
-- number of the inbox item, and as place_turn, or 'held' if whoever drives the session takes it.
local function queue_turn(q, now)
  local inbox_seq = redis.call('HINCRBY', session, 'inbox_seq', 1)
  write_turn(q, inbox_seq, now)
  count('turns:queued', 1)
  redis.call('HSET', session, 'active_ms', now)
  for _, index in ipairs(q.indexes) do redis.call('ZADD', index, now, q.sid) end
  redis.call('PERSIST', events)
  if q.state == 'idle' then set_state(q.sid, 'idle', 'queued', now) end
  if q.driven then return inbox_seq, 'held' end
  return inbox_seq, place_turn(q, now)
end
