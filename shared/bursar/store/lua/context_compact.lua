-- Books an attempt to shorten a session's context and, if there is a summary, puts that in the place of
-- the messages before `to`, all or nothing. The history stays as it is.
-- KEYS: session events tree tree_log stats ws_stats effects messages turn inbox workspace audit text
--       [hold timers ledger account*]
-- ARGV: epoch owner append_no log_max from to summary inputs retry_tokens
--       (then as step_commit from its items on)
--       from: where the context begins now; to: where it will, empty for an attempt that failed
--       inputs: what of before `to` is shown all the same, empty for nothing
--       retry_tokens: up to which size of the context there is no further attempt
-- Returns {'ok', seq, accounts where turns wait} | {'repeat', seq} | {'fenced'} | {'gone'} |
--         {'bad_boundary', context_start} | {'no_hold'} | {'bad_secret'} | {'path_mismatch'} | {'bad_amount'}
-- durable: with hold
-- flags: allow-oom
-- include: clock
-- include: args
-- include: fence
-- include: commit
-- include: events
local effects, messages, turn, inbox = KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local workspace, log, text = KEYS[11], KEYS[12], KEYS[13]
local epoch, owner, append_no, log_max = take(), take(), take(), take()
local from, to, summary, inputs, retry_tokens = take(), take(), take(), take(), take()
local verdict = fence(session, epoch, owner, append_no)
if verdict == 'repeat' then return {'repeat', redis.call('HGET', session, 'event_seq')} end
if verdict ~= 'ok' then return {verdict} end
local s = redis.call('HMGET', session, 'context_start', 'message_count')
-- It only ever moves on, over messages that are there.
if to ~= '' and (s[1] ~= from or tonumber(to) <= tonumber(from) or tonumber(to) > tonumber(s[2])) then
  return {'bad_boundary', s[1]}
end
local commit, refusal = read_commit(14)
if refusal then return {refusal} end
local list = take_list(2)
redis.call('HSET', session, 'append_no', append_no, 'active_ms', now, 'attempts', 0,
  'compact_above', retry_tokens)
if to ~= '' then
  redis.call('HSET', session, 'context_start', to, 'counted_from', s[2], 'summarised', 1)
  redis.call('HSET', text, 'summary', summary, 'inputs', inputs)
end
local extra, waiting = apply_commit(commit, inbox, messages, effects, turn, workspace, log, now)
for _, part in ipairs(extra) do list[#list + 1] = part end
return {'ok', tostring(emit(session, events, log_max, now, list)), waiting}
