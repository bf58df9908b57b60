-- Takes due jobs off two arq queues, at most `room` of them and `room_other` of the other, and leaves a token for the next idle
-- worker if it leaves jobs. A bell is gone with its claim: a lost one's session stands in `ready`.
-- Any other job stays in its queue as arq wants it, due again when its worker must be dead.
-- The keys of jobs are built here, because only the queues know which jobs are due: they have a
-- database of their own that is no Cluster.
-- KEYS: urgent urgent_doorbell other other_doorbell
-- ARGV: heard room room_other favour in_progress_ms bell_prefix job_prefix in_progress_prefix
-- `heard` is a bell that came with a token and is being answered already, or empty.
-- `favour` jobs come from the other queue first, if it has so many; then the urgent one is served.
-- Returns {'ok', {urgent job_id, score, …}, {other job_id, score, …}, next_ms}: next_ms until the
-- next job is due, or -1.
-- include: clock
local urgent, urgent_doorbell, other, other_doorbell = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local heard, room, room_other = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local favour, in_progress_ms = tonumber(ARGV[4]), ARGV[5]
local bell_prefix, job_prefix, in_progress_prefix = ARGV[6], ARGV[7], ARGV[8]
local extra = 100  -- jobs in progress at the head that a claim looks past
local function claim(queue, taken, limit)
  if limit <= 0 then return end
  local due = redis.call('ZRANGEBYSCORE', queue, '-inf', now, 'WITHSCORES', 'LIMIT', 0, limit + extra)
  for i = 1, #due, 2 do
    local id, score, mine = due[i], due[i + 1], true
    if string.sub(id, 1, #bell_prefix) == bell_prefix then
      redis.call('ZREM', queue, id)
      redis.call('DEL', job_prefix .. id)
    elseif redis.call('SET', in_progress_prefix .. id, 1, 'PX', in_progress_ms, 'NX') then
      redis.call('ZADD', queue, now + tonumber(in_progress_ms), id)
    else
      mine = false
    end
    if mine then
      taken[#taken + 1], taken[#taken + 2], room, limit = id, score, room - 1, limit - 1
      if limit == 0 then return end
    end
  end
end
-- While room was left, whatever is still due is in progress elsewhere: a token would only spin.
local function pass_on(queue, doorbell, left)
  local score = tonumber(redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')[2])
  if score and score <= now and left == 0 then
    if redis.call('LLEN', doorbell) == 0 then redis.call('LPUSH', doorbell, '') end
  else
    redis.call('DEL', doorbell)
  end
  return score and score > now and score - now or -1
end
if heard ~= '' then
  if redis.call('ZREM', urgent, heard) == 0 then redis.call('ZREM', other, heard) end
  redis.call('DEL', job_prefix .. heard)
end
local urgent_jobs, other_jobs = {}, {}
claim(other, other_jobs, math.min(favour, room_other))
claim(urgent, urgent_jobs, room)
claim(other, other_jobs, math.min(room, room_other - #other_jobs / 2))
local first = pass_on(urgent, urgent_doorbell, room)
local second = pass_on(other, other_doorbell, math.min(room, room_other - #other_jobs / 2))
local next_ms = (first < 0 or (second >= 0 and second < first)) and second or first
return {'ok', urgent_jobs, other_jobs, string.format('%d', next_ms)}
