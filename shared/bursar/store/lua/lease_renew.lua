-- Keeps the leases of one worker's drives in a shard, and tells each how far its inbox has grown (a
-- cancel, another input).
-- KEYS: leases ready session+
-- ARGV: lease_ms n (ref epoch owner)*
-- Returns {'ok', {inbox_seq or 'fenced', …}} in the order of the sessions
-- flags: allow-oom
-- include: clock
-- include: args
local leases, ready = KEYS[1], KEYS[2]
local lease_ms, claims = tonumber(take()), take_list(3)
local answers = {}
for i = 3, #KEYS do
  local at = (i - 3) * 3
  local ref, epoch, owner = claims[at + 1], claims[at + 2], claims[at + 3]
  local s = redis.call('HMGET', KEYS[i], 'epoch', 'owner', 'lease_until_ms', 'inbox_seq')
  if s[1] ~= epoch or s[2] ~= owner or s[3] == '0' then
    answers[#answers + 1] = 'fenced'
  else
    redis.call('HSET', KEYS[i], 'lease_until_ms', now + lease_ms)
    redis.call('ZADD', leases, now + lease_ms, ref)
    redis.call('ZREM', ready, ref)
    answers[#answers + 1] = s[4]
  end
end
return {'ok', answers}
