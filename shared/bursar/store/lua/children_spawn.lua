-- Opens sub-agents below a turn, each with its account, its task and its events, and the join by which
-- the turn is told of their ends; all or nothing. A child that exists already is left as it is, so a
-- call that is made again after a crash opens nothing twice.
-- KEYS: session events tree tree_log stats ws_stats idle queued running waiting ended live tree_blocked
--       effects turn joins workspace audit ready blocked blocked_paused timers account sessions user path
--       members child_key*
-- ARGV: epoch owner append_no call_field join n need window step max_a_step detached log_max max_depth
--       max_live max_queued max_wait_ms warn_percent kept_max tree_cap n (plan_field
--       value)*
--       then for each child: sid slot ref tid input time_ms session_limit per_action no_worker
--       created_event queued_event waiting_event spawned_event audit_body n (field value)*
--       n (text_field value)*
--       join: its id; n: how many children it is for in all, need: successes that decide it, window: how
--       many of them are open at once; the plan has what is needed to open the others later
--       step, max_a_step: children of one step; max_a_step 0 does not count them
--       max_wait_ms: after which a child ends in any case; time_ms: in which it works on its task
--       child_key: hash text account inbox turn events blocked_agent of each child
-- Returns {'ok', seq, {sid of each that is to be rung for}} | {'repeat', seq, {}} | {'fenced'} | {'gone'} |
--   {'no_call'} | {'tree_cancelled'} | {'too_deep', max_depth} | {'tree_full', max_live} |
--   {'step_full', max_a_step} | {'killed'} | {'workspace_full', cap} | {'queue_full', max} | {'bad_amount'}
-- durable
-- include: clock
-- include: args
-- include: fence
-- include: open
-- include: events
-- include: audit
-- include: queue_turn
-- include: time_limit
local parent, parent_events = session, events
local effects, turn, joins, workspace, log = KEYS[14], KEYS[15], KEYS[16], KEYS[17], KEYS[18]
local ready, blocked, blocked_paused, timers = KEYS[19], KEYS[20], KEYS[21], KEYS[22]
local account, indexes, members = KEYS[23], {KEYS[24], KEYS[25], KEYS[26]}, KEYS[27]
local child_keys = keys_from(28)
local epoch, owner, append_no, call = take(), take(), take(), take()
local join, all, need, window = take(), tonumber(take()), take(), take()
local step, max_a_step, detached, log_max = take(), tonumber(take()), take(), take()
local max_depth, max_live, max_queued, max_wait_ms = take(), take(), take(), tonumber(take())
local warn_percent, kept_max, tree_cap, plan = take(), take(), tonumber(take()), take_list(2)
local verdict = fence(parent, epoch, owner, append_no)
if verdict == 'repeat' then return {'repeat', redis.call('HGET', parent, 'event_seq'), {}} end
if verdict ~= 'ok' then return {verdict} end
local p = redis.call('HMGET', parent, 'depth', 'root', 'born', 'deadline_ms', 'time_left_ms', 'clock_ms',
  'cancelling')
if p[7] == '1' then return {'tree_cancelled'} end
if call ~= '' and redis.call('HEXISTS', effects, call) == 0 then return {'no_call'} end
local depth = tonumber(p[1]) + 1
if depth >= tonumber(max_depth) then return {'too_deep', max_depth} end
-- Time shrinks down the tree, but for those that need not end with what is above them.
local time_ms, deadline_ms = max_wait_ms, now + max_wait_ms
if detached ~= '1' then
  time_ms = time_left(p[5], p[6], now) or max_wait_ms
  deadline_ms = math.min(deadline_ms, tonumber(p[4] or deadline_ms))
end
local born = redis.call('HGET', account, 'cancel_epoch') or '0'
-- Nothing above one that was opened by hand or detached, without a `born`, ends what is below it.
if depth > 1 then born = (p[3] or string.rep('- ', depth - 2) .. '-') .. ' ' .. born end

-- Reads the rest of ARGV; returns those that have to be opened, or what is wrong with one.
local function read_children()
  local list = {}
  for i = 1, #child_keys, 7 do
    local o = {sid = take(), slot = take(), ref = take(), tid = take(), input = take(),
      time_ms = tonumber(take()), session_limit = take(), per_action = take(), no_worker = take(),
      created = take(), queued = take(), waiting = take(), spawned = take(), record = take(),
      fields = take_list(2), texts = take_list(2), hash = child_keys[i], text = child_keys[i + 1],
      account = child_keys[i + 2], inbox = child_keys[i + 3], turn = child_keys[i + 4],
      events = child_keys[i + 5], blocked_agent = child_keys[i + 6], root = p[2], depth = depth,
      token_limit = 'unlimited', per_turn = '', warn_percent = warn_percent, kept_max = kept_max,
      blocked_now = '', ready = ready, blocked = blocked, blocked_paused = blocked_paused}
    if bad_limits(o) then return nil end
    if redis.call('EXISTS', o.hash) == 0 then list[#list + 1] = o end
  end
  return list
end
-- What stands against so many more children.
local function why_not(fresh)
  if redis.call('SCARD', live) + fresh > tonumber(max_live) then
    return {'tree_full', max_live}
  end
  local w = redis.call('HMGET', workspace, 'killed', 'max_sessions', 'max_queued')
  local open = tonumber(redis.call('HGET', ws_stats, 'sessions:live') or 0)
  if w[1] == '1' then return {'killed'} end
  if w[2] ~= 'unlimited' and open + fresh > tonumber(w[2]) then return {'workspace_full', w[2]} end
  local full = queue_full(w[3], max_queued, fresh)
  return full and {'queue_full', full}
end
local function open_child(o, tid)
  session, events = o.hash, o.events
  local list = o.fields
  for _, part in ipairs({'time_left_ms', math.min(o.time_ms, time_ms), 'deadline_ms', deadline_ms,
    'ending', 1, 'inbox_seq', 1, 'parent_turn', detached == '1' and '' or tid,
    'join', detached == '1' and '' or join .. ' ' .. o.slot}) do list[#list + 1] = part end
  if detached ~= '1' then
    list[#list + 1] = 'born'
    list[#list + 1] = born
  end
  audit(workspace, log, now, o.record)
  open_session(o, 'queued', now)
  write_turn(o, 1, now)
  local told, found = queued_events(place_turn(o, now), o.queued, o.waiting)
  emit(session, events, log_max, now, {'session.created', o.created, unpack(told)})
  session, events = parent, parent_events
  return found == 'ring'
end

local list = read_children()
if not list then return {'bad_amount'} end
local known = join ~= '' and redis.call('HEXISTS', joins, join .. ':n') == 1
local refusal = why_not(#list)
if refusal then return refusal end
local of_step = redis.call('HMGET', turn, 'spawn_step', 'spawned')
local spawned = of_step[1] == step and tonumber(of_step[2]) or 0
-- Those of a join count all at once. Detached ones have none that would tell a repeat: the new ones count.
local counted = detached == '1' and #list or known and 0 or all
if max_a_step > 0 and spawned + counted > max_a_step then
  return {'step_full', string.format('%d', max_a_step)}
end

redis.call('HSET', parent, 'append_no', append_no, 'attempts', 0)
if max_a_step > 0 then redis.call('HSET', turn, 'spawn_step', step, 'spawned', spawned + counted) end
if detached ~= '1' then
  redis.call('HINCRBY', turn, 'children', #list)
  if not known then
    redis.call('HSET', joins, join .. ':n', all, join .. ':need', need, join .. ':window', window,
      join .. ':ended', 0, join .. ':ok', 0, join .. ':opened', 0)
    redis.call('HINCRBY', turn, 'joins_open', 1)
  end
  if #plan > 0 then redis.call('HSET', joins, unpack(plan)) end
  if join == 'job' then redis.call('HINCRBY', parent, 'job_open', #list) end
  if call ~= '' then redis.call('HSET', effects, call, 'children ' .. join) end
end
local paused, tid = redis.call('HGET', workspace, 'paused'), redis.call('HGET', parent, 'turn')
local room = tree_cap - tonumber(redis.call('HGET', tree, 'tree_running') or 0)
if redis.call('ZCARD', tree_blocked) > 0 then room = 0 end
local rung, told, sids, slots, planned, limits = {}, {}, {}, {}, {}, {}
for i, o in ipairs(list) do
  o.paused, o.tree_full = paused, i > room
  if open_child(o, tid) then rung[#rung + 1] = o.sid end
  sids[i], planned[i] = o.sid, join .. ':in:' .. o.slot
  slots[2 * i - 1], slots[2 * i] = join .. ':' .. o.slot, o.sid
  limits[2 * i - 1], limits[2 * i] = deadline_ms, limit_timer(o.ref, o.tid)
  told[2 * i - 1], told[2 * i] = 'child.spawned', o.spawned
end
if #list > 0 then
  list_sessions(sids, 'queued', indexes, members, now)
  count('turns:queued', #list)
  redis.call('ZADD', timers, unpack(limits))
  if detached ~= '1' then
    redis.call('HSET', joins, unpack(slots))
    redis.call('HDEL', joins, unpack(planned))
    redis.call('HINCRBY', joins, join .. ':opened', #list)
  end
end
return {'ok', tostring(emit(parent, parent_events, log_max, now, told)), rung}
