-- Takes the one answer to a question whose call was put off: its turn has gone on without it. The
-- answer is a new input of the session, and if it is yes, the call runs there.
-- KEYS: session events tree tree_log stats ws_stats idle queued running waiting ended live tree_blocked
--       inbox ready workspace audit
--       feed outbox approval approvals open timers repeats effects grants
--       turn sessions user path blocked_paused blocked_agent blocked
-- ARGV: ref id timer arguments_sha256 state released ttl_ms log_max told audit_body n (field value)*
--       grant_id grant left grant_timer grant_until grant_audit grants_max
--       sid tid input event waiting_event no_worker max_inbox
--       as approval_answer, with released 1; then the new turn
-- Returns {'ok', 'held' | 'ring' | 'blocked', worker, agent, priority, epoch, inbox_seq} |
--   {'killed'} | {'inbox_full', max} | as approval_answer refuses
-- durable
-- include: clock
-- include: args
-- include: approvals
-- include: answer
-- include: queue_turn
local turn, indexes = KEYS[27], {KEYS[28], KEYS[29], KEYS[30]}
local blocked_paused, blocked_agent, blocked = KEYS[31], KEYS[32], KEYS[33]
local answer = read_answer()
local sid, tid, input, event, waiting_event, no_worker = take(), take(), take(), take(), take(), take()
local max_inbox = take()
local refusal = why_refused(answer)
if refusal then return refusal end
local w = redis.call('HMGET', workspace, 'paused', 'killed')
if w[2] == '1' then return {'killed'} end
if redis.call('LLEN', inbox) >= tonumber(max_inbox) then return {'inbox_full', max_inbox} end
local s = redis.call('HMGET', session, 'state', 'lease_until_ms', 'worker', 'epoch', 'blocked', 'agent', 'priority')
write_answer(answer, now)
local inbox_seq, outcome = queue_turn({
  sid = sid, ref = answer.ref, tid = tid, input = input, inbox = inbox, turn = turn, indexes = indexes,
  state = s[1], driven = tonumber(s[2]) > now, blocked_now = s[5], interrupts = false,
  paused = w[1], no_worker = no_worker, ready = ready,
  blocked = blocked, blocked_paused = blocked_paused, blocked_agent = blocked_agent,
}, now)
if answer.state == 'approved' then redis.call('HSET', turn, 'deferred', answer.id) end
local list, found = queued_events(outcome, event, waiting_event)
emit(session, events, answer.log_max, now, list)
return {'ok', found, s[3], s[6], s[7], s[4], tostring(inbox_seq)}
