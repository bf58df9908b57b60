-- Writes which items of a job are to be run next; with the last of them their round begins.
-- KEYS: session turn joins
-- ARGV: epoch owner append_no tid round window all n (slot)* at begins failed
--       round: its number in this turn; all: how many items it has; at: place of the first slot of these
--       begins: 1 with the last ones; failed: how many of all count as failed so far
-- Returns {'ok'} | {'repeat'} | {'fenced'} | {'gone'}
-- A round of all items in their order has no list: there the place of an item is its slot.
-- include: args
-- include: fence
local session, turn, joins = KEYS[1], KEYS[2], KEYS[3]
local epoch, owner, append_no, tid, round, window, all = take(), take(), take(), take(), take(), take(), take()
local slots, at, begins, failed = take_list(1), tonumber(take()), take(), tonumber(take())
local verdict = fence(session, epoch, owner, append_no)
if verdict ~= 'ok' then return {verdict} end
redis.call('HSET', session, 'append_no', append_no)
local fields = {}
for i, slot in ipairs(slots) do
  fields[#fields + 1] = string.format('job:todo:%d', at + i - 1)
  fields[#fields + 1] = slot
end
if #fields > 0 then redis.call('HSET', joins, unpack(fields)) end
if begins ~= '1' then return {'ok'} end
redis.call('HDEL', joins, 'job:decided')
redis.call('HSET', joins, 'job:n', all, 'job:need', all, 'job:window', window, 'job:opened', 0, 'job:ended', 0,
  'job:ok', 0, 'job:turn', tid, 'job:round', round, 'job:listed', at + #slots)
redis.call('HSET', turn, 'joins_open', 1)
redis.call('HINCRBY', session, 'job_failed', -failed)
return {'ok'}
