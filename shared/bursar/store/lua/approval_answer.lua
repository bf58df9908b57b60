-- Takes the one answer to a question whose call waits for it. The answer is an inbox item, written
-- together with the change, and so is what it grants beyond this call.
-- KEYS: session events tree tree_log stats ws_stats idle queued running waiting ended live tree_blocked
--       inbox ready workspace audit
--       feed outbox approval approvals open timers repeats effects grants
-- ARGV: ref id timer arguments_sha256 state released ttl_ms log_max told audit_body n (field value)*
--       grant_id grant left grant_timer grant_until grant_audit grants_max tid
--       state: approved or denied; released: 0; the grant's are empty for none
-- Returns {'ok', 'held' | 'ring', worker, agent, priority, epoch, inbox_seq} | {'no_approval'} |
--   {'answered', state, by, decision, note} | {'other_call', arguments_sha256} | {'stale'} |
--   {'session_over'} | {'grants_full', max}
--   stale: the question was deferred meanwhile in another way than the caller knows
-- durable
-- include: clock
-- include: args
-- include: approvals
-- include: answer
local answer, tid = read_answer(), take()
local refusal = why_refused(answer)
if refusal then return refusal end
write_answer(answer, now)
return {'ok', unpack(wake(answer.ref, tid, now))}
