-- Puts a session whose lease ran out back among the ready ones. Owner and epoch stay as they are,
-- so the next claim sees that the lease was never given back, and counts an attempt.
-- KEYS: session leases ready
-- ARGV: ref
-- Returns {'ring', agent, priority, epoch, inbox_seq} | {'kept'}
-- include: clock
-- include: lease
local session, leases, ready = KEYS[1], KEYS[2], KEYS[3]
local ref = ARGV[1]
local s = redis.call('HMGET', session, 'id', 'lease_until_ms', 'agent', 'priority', 'epoch', 'inbox_seq')
if not s[1] or s[2] == '0' then
  redis.call('ZREM', leases, ref)
  return {'kept'}
end
if tonumber(s[2]) > now then
  redis.call('ZADD', leases, s[2], ref)
  return {'kept'}
end
redis.call('ZREM', leases, ref)
make_ready(session, ready, ref, now)
return {'ring', s[3], s[4], s[5], s[6]}
