-- Writes which items of a job are to be run next; with the last of them their round begins. Those that were run
-- before wait from then on, and count as failed no more.
-- KEYS: session turn joins
-- ARGV: epoch owner append_no tid round window all n (slot)* at begins
--       round: its number in this turn; all: how many items it has; at: place of the first slot of these
--       begins: 1 with the last ones
-- Returns {'ok'} | {'repeat'} | {'fenced'} | {'gone'}
-- A round of all items in their order has no list: there the place of an item is its slot.
-- include: args
-- include: fence
local session, turn, joins = KEYS[1], KEYS[2], KEYS[3]
local epoch, owner, append_no, tid, round, window, all = take(), take(), take(), take(), take(), take(), take()
local slots, at, begins = take_list(1), tonumber(take()), take()
local verdict = fence(session, epoch, owner, append_no)
if verdict ~= 'ok' then return {verdict} end
redis.call('HSET', session, 'append_no', append_no)
local fields, names = {}, {}
for i, slot in ipairs(slots) do
  fields[2 * i - 1], fields[2 * i] = string.format('job:todo:%d', at + i - 1), slot
  names[i] = 'job:' .. slot
end
if #slots > 0 then
  for i, before in ipairs(redis.call('HMGET', joins, unpack(names))) do
    local sid, outcome = string.match(before or '', '^(%S+) (%S+)')
    if sid then
      fields[#fields + 1] = names[i]
      fields[#fields + 1] = sid .. ' waiting'
      if outcome ~= 'waiting' then redis.call('HINCRBY', session, 'job_failed', -1) end
    end
  end
  redis.call('HSET', joins, unpack(fields))
end
if begins ~= '1' then return {'ok'} end
redis.call('HDEL', joins, 'job:decided')
redis.call('HSET', joins, 'job:n', all, 'job:need', all, 'job:window', window, 'job:opened', 0, 'job:ended', 0,
  'job:ok', 0, 'job:turn', tid, 'job:round', round, 'job:listed', at + #slots)
redis.call('HSET', turn, 'joins_open', 1)
return {'ok'}
