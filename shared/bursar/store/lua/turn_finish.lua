-- Ends a turn: last messages, settlement, terminal state and event, counters, in one step. Keeps
-- the lease when the inbox holds more, else gives it back; completes an end that was asked for.
-- KEYS: session events tree tree_log stats ws_stats idle queued running waiting ended live tree_blocked
--       effects messages turn inbox leases sessions user path blocked_cap workspace audit due joins
--       parent parent_log parent_inbox parent_turn parent_joins ready [hold timers ledger account*]
-- ARGV: epoch owner append_no log_max sid ref tid outcome code reason log_ttl_ms turn_ttl_ms
--       ended_event ended_audit ended_timer keeps_joins join slot parent_ref parent_tid
--       finished_event  (then as step_commit from its items on)
-- Returns {'ok', seq, 'more' | 'rest', next_blocked, accounts where turns wait, 'ring' | 'held' | 'none',
--   worker, agent, priority, epoch, inbox_seq} | {'repeat', seq, 'more' | 'rest', '', '', 'none'} |
--   {'injected'} | {'children', how many} | {'fenced'} | {'gone'} | {'turn_ended', state} | {'no_hold'} | {'bad_secret'} | {'path_mismatch'} | {'bad_amount'}
-- 'injected': an input joined the turn that is not among the items; it has to be dealt with first.
-- 'children': what the turn spawned has not ended; nothing of a tree outlives the turn that it is for.
-- 'ring', 'held': how the session above is to be told that this was the end it waits for.
-- durable
-- flags: allow-oom
-- include: clock
-- include: args
-- include: fence
-- include: ended
-- include: commit
-- include: events
-- include: lease
-- include: report
local effects, messages, turn, inbox, leases = KEYS[14], KEYS[15], KEYS[16], KEYS[17], KEYS[18]
local indexes, blocked_cap = {KEYS[19], KEYS[20], KEYS[21]}, KEYS[22]
local workspace, log, due = KEYS[23], KEYS[24], KEYS[25]
local epoch, owner, append_no, log_max = take(), take(), take(), take()
local sid, ref, tid, outcome, code, reason = take(), take(), take(), take(), take(), take()
local log_ttl_ms, turn_ttl_ms, ended_event = take(), take(), take()
local ended_audit, ended_timer, keeps_joins = take(), take(), take()
local joins, above = KEYS[26], read_report(27)
local verdict = fence(session, epoch, owner, append_no)
if verdict == 'repeat' then
  local s = redis.call('HMGET', session, 'event_seq', 'lease_until_ms')
  return {'repeat', s[1], s[2] == '0' and 'rest' or 'more', '', '', 'none'}
end
if verdict ~= 'ok' then return {verdict} end
local commit, refusal = read_commit(33)
if refusal then return {refusal} end
local list = take_list(2)

local s = redis.call('HMGET', session, 'state', 'ending')
local t = redis.call('HMGET', turn, 'state', 'injections', 'children')
local turn_state, injections = t[1], tonumber(t[2] or 0)
if turn_state ~= 'running' and turn_state ~= 'waiting' and turn_state ~= 'queued' then
  return {'turn_ended', turn_state or ''}
end
if tonumber(t[3] or 0) > 0 then return {'children', t[3]} end
for _, item in ipairs(commit.items) do
  -- One that a step took in before counts no more, though its driver may still remember it.
  local joined = string.match(item, '^(%d+) inject ')
  if joined and redis.call('HEXISTS', turn, 'injected:' .. joined) == 1 then injections = injections - 1 end
end
if injections > 0 then return {'injected'} end
local extra, waiting = apply_commit(commit, inbox, messages, effects, turn, workspace, log, now)
redis.call('DEL', effects)
if keeps_joins == '0' then redis.call('DEL', joins) end
set_turn_state(turn, turn_state, outcome)
redis.call('HSET', turn, 'ended_ms', now, 'code', code, 'reason', reason,
  'last_message', tonumber(redis.call('HGET', session, 'message_count')) - 1)
redis.call('PEXPIRE', turn, turn_ttl_ms)
redis.call('HSET', session, 'append_no', append_no, 'turn', '', 'attempts', 0, 'seen_seq', 0,
  'cancelling', 0, 'active_ms', now)
for _, index in ipairs(indexes) do redis.call('ZADD', index, now, sid) end
-- Warnings come before the terminal event: nothing of a turn follows that one.
for i = #list - 1, #list do extra[#extra + 1] = list[i] end
list[#list] = nil
list[#list] = nil
for _, part in ipairs(extra) do list[#list + 1] = part end
if redis.call('LLEN', inbox) > 0 then
  local seq = emit(session, events, log_max, now, list)
  return {'ok', tostring(seq), 'more', '', waiting,
    unpack(report(above, sid, ref, tid, turn, due, outcome, code, log_max, now))}
end
release_lease(session, tree, leases, ws_stats, ref)
if s[2] == '1' then
  if end_session(sid, ref, s[1], workspace, log, ended_audit, due, ended_timer, now) then
    list[#list + 1] = 'session.ended'
    list[#list + 1] = ended_event
  end
else
  set_state(sid, s[1], 'idle', now)
end
local seq = emit(session, events, log_max, now, list)
redis.call('PEXPIRE', events, log_ttl_ms)
return {'ok', tostring(seq), 'rest', next_blocked(blocked_cap, tree_blocked), waiting,
  unpack(report(above, sid, ref, tid, turn, due, outcome, code, log_max, now))}
