-- Gives up a job whose making died on the way: from here on nobody completes it, and it can be deleted.
-- KEYS: session timers idem
-- ARGV: timer sid for_ms
-- Returns {'lapsed'} | {'kept'}
-- The request's key is forgotten, so that the same request makes the job anew; the timer is put off for
-- as long as the caller has for deleting.
-- include: clock
local session, timers, idem = KEYS[1], KEYS[2], KEYS[3]
local timer, sid, for_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])
local due = redis.call('ZSCORE', timers, timer)
if not due or tonumber(due) > now then return {'kept'} end
local s = redis.call('HMGET', session, 'id', 'job_total')
if not s[1] or s[2] then
  redis.call('ZREM', timers, timer)
  return {'kept'}
end
redis.call('HSET', session, 'ending', 1)
if redis.call('HGET', idem, 'id') == sid then redis.call('DEL', idem) end
redis.call('ZADD', timers, now + for_ms, timer)
return {'lapsed'}
