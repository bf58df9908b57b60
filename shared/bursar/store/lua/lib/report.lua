-- A child's turn has ended, and the turn that spawned it is told: by a change of the child's slot, which
-- only the first end makes. The change that decides the turn's last join is an inbox item, and so is one by which
-- others are to be stopped, or more children may be opened. Ends after that are on record, and wake nobody.
-- include: time_limit
-- include: lease
-- include: events
local function read_report(first_key)
  return {parent = KEYS[first_key], log = KEYS[first_key + 1], inbox = KEYS[first_key + 2],
    turn = KEYS[first_key + 3], joins = KEYS[first_key + 4], ready = KEYS[first_key + 5],
    join = take(), slot = take(), ref = take(), tid = take(), event = take()}
end
-- Whether the turn above has something to do now.
local function note_end(r, outcome, now)
  local left = redis.call('HINCRBY', r.turn, 'children', -1)
  local ended = redis.call('HINCRBY', r.joins, r.join .. ':ended', 1)
  local ok = redis.call('HINCRBY', r.joins, r.join .. ':ok', outcome == 'succeeded' and 1 or 0)
  local j = redis.call('HMGET', r.joins, r.join .. ':n', r.join .. ':need', r.join .. ':opened',
    r.join .. ':window', r.join .. ':decided')
  local stopped = left == 0 and redis.call('HGET', r.turn, 'waiting_for') == 'stopping'
  if j[5] then return stopped end
  local all, opened = tonumber(j[1]), tonumber(j[3])
  local open = opened - ended
  if ok >= tonumber(j[2]) or ended == all then
    redis.call('HSET', r.joins, r.join .. ':decided', now)
    -- Those that are not waited for any more are to be stopped, whatever else the turn waits for.
    return redis.call('HINCRBY', r.turn, 'joins_open', -1) == 0 or open > 0 or stopped
  end
  return stopped or (opened < all and (open == 0 or open == math.floor(tonumber(j[4]) / 2)))
end
-- Returns what the driver of the session above is to be told by, if it is to be told.
local function report(r, sid, ref, tid, turn, timers, outcome, code, log_max, now)
  redis.call('ZREM', timers, limit_timer(ref, tid))
  local nobody = {'none', '', '', '', '0', '0'}
  if r.join == '' or redis.call('HGET', r.joins, r.join .. ':' .. r.slot) ~= sid then return nobody end
  redis.call('HSET', r.joins, r.join .. ':' .. r.slot, table.concat({sid, outcome, code}, ' '))
  if r.join == 'job' then
    redis.call('HINCRBY', r.parent, 'job_open', -1)
    redis.call('HINCRBY', r.parent, outcome == 'succeeded' and 'job_succeeded' or 'job_failed', 1)
  end
  local wakes = note_end(r, outcome, now)
  local took = redis.call('HMGET', turn, 'cost_microusd', 'steps')
  emit(r.parent, r.log, log_max, now, {'child.finished', extend(r.event,
    string.format('"cost_microusd":%s,"steps":%s', took[1], took[2]))})
  if not wakes then return nobody end
  local p = redis.call('HMGET', r.parent, 'agent', 'priority', 'epoch', 'lease_until_ms', 'worker')
  local inbox_seq = redis.call('HINCRBY', r.parent, 'inbox_seq', 1)
  redis.call('RPUSH', r.inbox, string.format('%d join ', inbox_seq) .. r.tid)
  if tonumber(p[4]) > now then return {'held', p[5], p[1], p[2], p[3], string.format('%d', inbox_seq)} end
  make_ready(r.parent, r.ready, r.ref, now)
  return {'ring', '', p[1], p[2], p[3], string.format('%d', inbox_seq)}
end
