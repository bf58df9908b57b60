-- Writes the next inputs of a job that is being made, and puts off its clearing away.
-- KEYS: session joins timers
-- ARGV: timer for_ms start until n (field value)*
--       start: place of the first of these inputs; until: that of the one after the last
-- Returns {'ok', filled} | {'gone'} | {'ended'}
-- 'ok' says up to where there are inputs now. It writes nothing if that was not `start`, so that whoever
-- completes what somebody else began goes on from there.
-- durable
-- include: clock
-- include: args
local session, joins, timers = KEYS[1], KEYS[2], KEYS[3]
local timer, for_ms, start, until_no, fields = take(), tonumber(take()), take(), take(), take_list(2)
local s = redis.call('HMGET', session, 'id', 'state', 'ending', 'job_filled', 'job_total')
if not s[1] then return {'gone'} end
if s[2] == 'ended' or s[3] == '1' then return {'ended'} end
local filled = s[4] or '0'
if s[5] or filled ~= start then return {'ok', filled} end
redis.call('HSET', joins, unpack(fields))
redis.call('HSET', session, 'job_filled', until_no)
redis.call('ZADD', timers, now + for_ms, timer)
return {'ok', until_no}
