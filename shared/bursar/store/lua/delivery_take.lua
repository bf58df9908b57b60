-- Takes messages of one endpoint that are due. Whoever takes some has the endpoint to itself until its
-- lease ends, and renews that by taking again; with nothing to deliver it lets go.
-- KEYS: workspace feed webhooks index state due messages dead
-- ARGV: webhook ref owner lease_ms room threshold dead_max log_max told n in_flight*
--       in_flight: messages that the owner is sending now; threshold: failures in a row after which an
--       endpoint gets one message at a time; told: body of webhook.failed
-- Returns {'ok', {id, tries, body, …}} | {'rest'} | {'held'} | {'fenced'} | {'gone'}
-- include: clock
-- include: args
-- include: messages
local workspace, events, webhooks, index = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local e = {state = KEYS[5], due = KEYS[6], messages = KEYS[7], dead = KEYS[8]}
local webhook, ref, owner, lease_ms, room = take(), take(), take(), tonumber(take()), tonumber(take())
local threshold, feed = tonumber(take()), {counter = workspace, events = events}
feed.dead_max, feed.log_max, feed.told = take(), take(), take()
local in_flight = take_list(1)
if redis.call('HEXISTS', webhooks, webhook) == 0 then
  redis.call('ZREM', index, ref)
  return {'gone'}
end
local s = redis.call('HMGET', e.state, 'owner', 'lease_until_ms', 'paused', 'failures', 'open_until_ms')
local paused, failures, open_until = s[3] or '', tonumber(s[4] or 0), tonumber(s[5] or 0)
if s[1] ~= owner then
  if #in_flight > 0 then return {'fenced'} end
  if tonumber(s[2] or 0) > now then
    redis.call('ZADD', index, s[2], ref)
    return {'held'}
  end
end
local lease_until = now + lease_ms
for _, id in ipairs(in_flight) do redis.call('ZADD', e.due, 'XX', lease_until, id) end
local failing = failures >= threshold
if failing then room = math.min(room, 1 - #in_flight) end
local taken = {}
if paused == '' and open_until <= now and room > 0 then
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', e.due, '-inf', now, 'LIMIT', 0, room)) do
    local m = redis.call('HMGET', e.messages, id, id .. ':tries', id .. ':until')
    local tries, until_ms = tonumber(m[2] or 0), tonumber(m[3] or 0)
    if not m[1] then
      forget(e, id)
    elseif until_ms > 0 and until_ms <= now and (tries > 0 or failing) then
      bury(e, id, 'too_old', feed, now)
    else
      taken[#taken + 1], taken[#taken + 2], taken[#taken + 3] = id, tries, m[1]
    end
  end
end
if #taken == 0 and #in_flight == 0 then
  redis.call('HDEL', e.state, 'owner', 'lease_until_ms')
  local first = redis.call('ZRANGE', e.due, 0, 0, 'WITHSCORES')
  if first[1] and paused == '' then
    redis.call('ZADD', index, math.max(tonumber(first[2]), open_until), ref)
  else
    redis.call('ZREM', index, ref)
  end
  return {'rest'}
end
redis.call('HSET', e.state, 'owner', owner, 'lease_until_ms', lease_until)
redis.call('ZADD', index, lease_until, ref)
return {'ok', taken}
