-- Wakes one turn that waits for money: the news becomes an inbox item like any other.
-- KEYS: session inbox ready turn
-- ARGV: ref tid member how reason
--       how: freed, raised or denied; the last for a reason that people gave
-- Returns {'ring', agent, priority, epoch, inbox_seq} | {'kept'} | {'gone'}
-- include: clock
-- include: lease
local session, inbox, ready, turn = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local ref, tid, member, how, reason = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local t = redis.call('HMGET', turn, 'state', 'waiter', 'woken')
if t[1] ~= 'waiting' or t[2] ~= member then return {'gone'} end
local weight = {freed = 1, raised = 2, denied = 3}
-- It was told before and is on its way; the sweeper rings for those that stay ready.
if t[3] and weight[t[3]] and weight[t[3]] >= weight[how] then return {'kept'} end
local s = redis.call('HMGET', session, 'agent', 'epoch', 'lease_until_ms', 'priority')
redis.call('HSET', turn, 'woken', how, 'woken_reason', reason)
local inbox_seq = redis.call('HINCRBY', session, 'inbox_seq', 1)
redis.call('RPUSH', inbox, string.format('%d budget ', inbox_seq) .. tid)
if tonumber(s[3]) > now then return {'kept'} end
make_ready(session, ready, ref, now)
return {'ring', s[1], s[4], s[2], tostring(inbox_seq)}
