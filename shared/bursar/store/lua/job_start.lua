-- Starts a turn of a job: the first one, which has all of its inputs then, or one for what has not
-- succeeded.
-- KEYS: session events tree tree_log stats ws_stats idle queued running waiting ended live tree_blocked
--       inbox turn idem ready workspace sessions user path blocked_paused blocked_agent blocked timers jobs
-- ARGV: sid ref tid input event waiting_event log_max max_queued fingerprint idem_ttl_ms no_worker total
--       timer again
--       total: how many inputs there have to be; again: whether it is not the first turn
-- Returns {'ok', tid, 'ring' | 'blocked', epoch, inbox_seq, agent, priority} | {'repeat', tid} | {'idem_conflict'} |
--   {'gone'} | {'ended'} | {'busy'} | {'killed'} | {'not_filled', how many} | {'nothing_failed'} |
--   {'queue_full', max}
-- durable
-- include: clock
-- include: args
-- include: idem
-- include: state
-- include: events
-- include: queue_turn
local inbox, turn, idem, ready, workspace = KEYS[14], KEYS[15], KEYS[16], KEYS[17], KEYS[18]
local indexes = {KEYS[19], KEYS[20], KEYS[21]}
local blocked_paused, blocked_agent, blocked, timers, jobs = KEYS[22], KEYS[23], KEYS[24], KEYS[25], KEYS[26]
local sid, ref, tid, input, event, waiting_event = take(), take(), take(), take(), take(), take()
local log_max, max_queued, fingerprint, idem_ttl_ms = take(), take(), take(), take()
local no_worker, total, timer, again = take(), take(), take(), take()

local answered = first_answer(idem, fingerprint)
if answered then return answered end
local s = redis.call('HMGET', session, 'id', 'state', 'ending', 'job_filled', 'job_total', 'job_turn',
  'job_succeeded', 'blocked', 'epoch', 'agent', 'priority')
if not s[1] then return {'gone'} end
if again == '0' and s[5] then return {'repeat', s[6]} end
if s[2] == 'ended' or s[3] == '1' then return {'ended'} end
if s[2] ~= 'idle' then return {'busy'} end
if again == '1' and not s[5] or again == '0' and s[4] ~= total then return {'not_filled', s[4] or '0'} end
if again == '1' and s[7] == s[5] then return {'nothing_failed'} end
local caps = redis.call('HMGET', workspace, 'paused', 'killed', 'max_queued')
if caps[2] == '1' then return {'killed'} end
local full = queue_full(caps[3], max_queued, 1)
if full then return {'queue_full', full} end

if again == '0' then
  redis.call('HSET', session, 'job_total', total, 'job_open', 0, 'job_succeeded', 0, 'job_failed', 0)
  redis.call('HDEL', session, 'job_filled')
  redis.call('ZADD', jobs, now, sid)
  redis.call('ZREM', timers, timer)
end
redis.call('HSET', session, 'job_turn', tid)
local inbox_seq, outcome = queue_turn({
  sid = sid, ref = ref, tid = tid, input = input, inbox = inbox, turn = turn, indexes = indexes,
  state = s[2], driven = false, blocked_now = s[8], interrupts = false, paused = caps[1],
  no_worker = no_worker, ready = ready, blocked = blocked, blocked_paused = blocked_paused,
  blocked_agent = blocked_agent,
}, now)
remember(idem, fingerprint, tid, idem_ttl_ms)
local list, found = queued_events(outcome, event, waiting_event)
emit(session, events, log_max, now, list)
return {'ok', tid, found, s[9], tostring(inbox_seq), s[10], s[11]}
