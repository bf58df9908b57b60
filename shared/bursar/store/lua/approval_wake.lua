-- Something was granted that may answer a question: its session looks at it again.
-- KEYS: session events tree tree_log stats ws_stats idle queued running waiting ended live tree_blocked
--       inbox ready workspace audit
--       feed outbox approval approvals open timers repeats effects grants
-- ARGV: ref tid
-- Returns {'held', worker, agent, priority, epoch, inbox_seq} | {'ring', likewise} | {'gone'}
-- include: clock
-- include: approvals
local a = redis.call('HMGET', approval, 'state', 'released')
if (a[1] ~= 'pending' and a[1] ~= 'deferred') or a[2] == '1' then return {'gone'} end
if redis.call('EXISTS', session) == 0 then return {'gone'} end
return wake(ARGV[1], ARGV[2], now)
