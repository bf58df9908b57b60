-- How long a session that was given a task may work on it. Time in which its turn waits does not count;
-- but in any case it ends at `deadline_ms`. A timer ends both. Sessions of their own have no limit.
-- The clock runs while `clock_ms` is not empty: a turn may be parked again that has not been resumed.
local function limit_timer(ref, tid) return 'limit ' .. ref .. ' ' .. tid end
local function start_clock(timers, ref, tid, now)
  local s = redis.call('HMGET', session, 'time_left_ms', 'deadline_ms')
  if not s[1] then return end
  redis.call('HSET', session, 'clock_ms', now)
  redis.call('ZADD', timers, math.min(now + tonumber(s[1]), tonumber(s[2])), limit_timer(ref, tid))
end
local function time_left(left_ms, clock_ms, now)
  if not left_ms then return nil end
  if not clock_ms or clock_ms == '' then return tonumber(left_ms) end
  return math.max(1, tonumber(left_ms) - now + tonumber(clock_ms))
end
local function stop_clock(timers, ref, tid, now)
  local s = redis.call('HMGET', session, 'time_left_ms', 'deadline_ms', 'clock_ms')
  if not s[1] then return end
  redis.call('HSET', session, 'time_left_ms', time_left(s[1], s[3], now), 'clock_ms', '')
  redis.call('ZADD', timers, s[2], limit_timer(ref, tid))
end
