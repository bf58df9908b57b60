-- A session has been ready past its ring time: its bell was lost or nobody was free. Ring again,
-- each time after twice as long, from 2 s up to 60 s.
-- KEYS: session ready
-- ARGV: ref
-- Returns {'ring', agent, priority, epoch, inbox_seq, next_ring_ms} | {'kept'}
-- include: clock
local session, ready = KEYS[1], KEYS[2]
local ref = ARGV[1]
local due = redis.call('ZSCORE', ready, ref)
if not due or tonumber(due) > now then return {'kept'} end
local s = redis.call('HMGET', session, 'id', 'agent', 'epoch', 'inbox_seq', 'since_ms', 'priority')
if not s[1] then
  redis.call('ZREM', ready, ref)
  return {'kept'}
end
local pause = math.min(60000, math.max(2000, now - tonumber(s[5])))
redis.call('ZADD', ready, now + pause, ref)
return {'ring', s[2], s[6], s[3], s[4], string.format('%d', now + pause)}
