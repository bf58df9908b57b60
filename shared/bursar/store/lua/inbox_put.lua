-- Accepts one input: turn, inbox item and turn.queued event in one step, so it is never half there.
-- What happens beside a turn that is under way is the caller's choice: `enqueue` waits in line,
-- `reject` refuses, `interrupt` asks for that turn's cancel and waits in line, `inject` joins it.
-- KEYS: session events tree tree_log stats ws_stats idle queued running waiting ended live tree_blocked
--       inbox turn idem ready
--       workspace sessions user path blocked_paused blocked_agent blocked under_way account
-- ARGV: sid ref tid input event waiting_event log_max max_inbox max_queued fingerprint idem_ttl_ms
--       user workspace_path agent priority no_worker if_busy under_way_tid reason
-- `under_way` is the turn under way as the caller read it, only looked at by interrupt and inject.
-- Returns {'ok', tid, seq, 'ring' | 'held' | 'blocked', worker, epoch, inbox_seq} |
--   {'injected', tid, seq, 'ring' | 'held', worker, epoch, inbox_seq} | {'repeat', tid} |
--   {'repeat', tid, seq} | {'idem_conflict'} | {'gone'} | {'is_job'} | {'ended'} | {'stale'} | {'busy'} | {'killed'} |
--   {'inbox_full', max} | {'queue_full', max}
-- 'repeat' has the seq if the input joined that turn.
-- 'stale': user, path, agent, priority or turn are not the session's; the caller reads them again.
-- include: clock
-- include: args
-- include: idem
-- include: state
-- include: events
-- include: queue_turn
-- include: cancel
local inbox, turn, idem, ready, workspace = KEYS[14], KEYS[15], KEYS[16], KEYS[17], KEYS[18]
local indexes, blocked_paused, blocked_agent, blocked = {KEYS[19], KEYS[20], KEYS[21]}, KEYS[22], KEYS[23], KEYS[24]
local under_way, account = KEYS[25], KEYS[26]
local sid, ref, tid, input, event, waiting_event = take(), take(), take(), take(), take(), take()
local log_max, max_inbox, max_queued, fingerprint, idem_ttl_ms = take(), take(), take(), take(), take()
local user, workspace_path, agent, priority, no_worker = take(), take(), take(), take(), take()
local if_busy, under_way_tid, reason = take(), take(), take()

local answered = first_answer(idem, fingerprint)
if answered then return answered end
local s = redis.call('HMGET', session, 'id', 'state', 'ending', 'user', 'workspace_path', 'agent',
  'lease_until_ms', 'worker', 'epoch', 'blocked', 'priority', 'turn', 'event_seq', 'job')
if not s[1] then return {'gone'} end
if s[14] == '1' then return {'is_job'} end
if s[2] == 'ended' or s[3] == '1' then return {'ended'} end
if s[4] ~= user or s[5] ~= workspace_path or s[6] ~= agent or (s[11] or '') ~= priority then return {'stale'} end
if if_busy == 'reject' and s[2] ~= 'idle' then return {'busy'} end
local joins = if_busy == 'interrupt' or if_busy == 'inject'
if joins and s[12] ~= under_way_tid then return {'stale'} end
local caps = redis.call('HMGET', workspace, 'paused', 'killed', 'max_queued')
if caps[2] == '1' then return {'killed'} end
if redis.call('LLEN', inbox) >= tonumber(max_inbox) then return {'inbox_full', max_inbox} end
local driven = tonumber(s[7]) > now

if if_busy == 'inject' and under_way_tid ~= '' then
  local inbox_seq = redis.call('HINCRBY', session, 'inbox_seq', 1)
  redis.call('RPUSH', inbox, string.format('%d inject ', inbox_seq) .. under_way_tid)
  redis.call('HSET', under_way, string.format('injected:%d', inbox_seq), input)
  redis.call('HINCRBY', under_way, 'injections', 1)
  remember(idem, fingerprint, under_way_tid, idem_ttl_ms, s[13])
  if not driven then make_ready(session, ready, ref, now) end
  return {'injected', under_way_tid, s[13], driven and 'held' or 'ring', s[8], s[9], tostring(inbox_seq)}
end
local full = queue_full(caps[3], max_queued, 1)
if full then return {'queue_full', full} end
local interrupts = if_busy == 'interrupt' and under_way_tid ~= ''
if interrupts then
  ask_cancel(session, account, inbox, under_way, under_way_tid, 'cancelled', reason, now)
end
local inbox_seq, outcome = queue_turn({
  sid = sid, ref = ref, tid = tid, input = input, inbox = inbox, turn = turn, indexes = indexes,
  state = s[2], driven = driven, blocked_now = s[10], interrupts = interrupts, paused = caps[1],
  no_worker = no_worker, ready = ready, blocked = blocked, blocked_paused = blocked_paused,
  blocked_agent = blocked_agent,
}, now)
remember(idem, fingerprint, tid, idem_ttl_ms)
local list, found = queued_events(outcome, event, waiting_event)
local seq = emit(session, events, log_max, now, list)
return {'ok', tid, tostring(seq - #list / 2 + 1), found, s[8], s[9], tostring(inbox_seq)}
