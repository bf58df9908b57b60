-- Commits what a step produced, all or nothing: an answer, one tool's result, or the step's close.
-- KEYS: session events tree tree_log stats ws_stats effects messages turn inbox workspace audit
--       [hold timers ledger account*]
-- ARGV: epoch owner append_no log_max
--       n item* n message* n (effect value)* n effect_done* steps tool_calls input_tokens output_tokens
--       token_count secret actual tokens ended_as account_names hold_ttl_ms warning_event n audit_body*
--       n turn_field_done* verdict n (event body)*
--       verdict: how the turn ends as soon as its sub-agents have; empty while that is open
-- Returns {'ok', seq, accounts where turns wait} | {'repeat', seq} | {'fenced'} | {'gone'} |
--         {'no_hold'} | {'bad_secret'} | {'path_mismatch'} | {'bad_amount'}
-- durable: with hold
-- flags: allow-oom
-- include: clock
-- include: args
-- include: fence
-- include: commit
-- include: events
local effects, messages, turn, inbox = KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local workspace, log = KEYS[11], KEYS[12]
local epoch, owner, append_no, log_max = take(), take(), take(), take()
local verdict = fence(session, epoch, owner, append_no)
if verdict == 'repeat' then return {'repeat', redis.call('HGET', session, 'event_seq')} end
if verdict ~= 'ok' then return {verdict} end
local commit, refusal = read_commit(13)
if refusal then return {refusal} end
local list = take_list(2)
-- Progress: whoever takes this session over from here starts counting attempts anew.
redis.call('HSET', session, 'append_no', append_no, 'active_ms', now, 'attempts', 0)
local extra, waiting = apply_commit(commit, inbox, messages, effects, turn, workspace, log, now)
for _, part in ipairs(extra) do list[#list + 1] = part end
return {'ok', tostring(emit(session, events, log_max, now, list)), waiting}
