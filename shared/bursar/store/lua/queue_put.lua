-- Puts a job into an arq queue and rings its doorbell, unless it is there.
-- KEYS: job queue doorbell
-- ARGV: job_id payload ttl_ms
-- Returns {'ok'} | {'repeat'}
-- include: clock
local job, queue, doorbell = KEYS[1], KEYS[2], KEYS[3]
local job_id, payload, ttl_ms = ARGV[1], ARGV[2], ARGV[3]
if redis.call('EXISTS', job) == 1 then return {'repeat'} end
redis.call('SET', job, payload, 'PX', ttl_ms)
redis.call('ZADD', queue, now, job_id)
-- One token wakes one idle worker, which need not ask what for; whom its claim leaves something is
-- woken by that.
if redis.call('LLEN', doorbell) == 0 then redis.call('LPUSH', doorbell, job_id) end
return {'ok'}
