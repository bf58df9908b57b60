-- Creates a session with its account, indexes and first event, all or nothing.
-- KEYS: session events stats ws_stats idle queued running waiting ended text account user_account
--       workspace sessions user path idem parent users audit
-- ARGV: sid fingerprint idem_ttl_ms event audit_body log_max session_limit token_limit per_action
--       per_turn warn_percent kept_max user_limit user_name max_depth n (field value)*
--       n (text_field value)*
-- Returns {'ok', seq} | {'repeat', sid} | {'idem_conflict'} | {'exists'} | {'no_workspace'} |
--         {'killed'} | {'workspace_full', cap} | {'no_parent'} | {'parent_ended'} | {'too_deep', max_depth} |
--         {'bad_amount'}
-- `parent` is the session's own key when it is a root.
-- include: clock
-- include: args
-- include: idem
-- include: account
-- include: state
-- include: money
-- include: events
-- include: audit
local text, account, user_account, workspace = KEYS[10], KEYS[11], KEYS[12], KEYS[13]
local indexes, idem, parent = {KEYS[14], KEYS[15], KEYS[16]}, KEYS[17], KEYS[18]
local users, log = KEYS[19], KEYS[20]
local sid, fingerprint, idem_ttl_ms, event = take(), take(), take(), take()
local audit_body, log_max = take(), take()
local session_limit, token_limit, per_action, per_turn = take(), take(), take(), take()
local warn_percent, kept_max, user_limit, user_name = take(), take(), take(), take()
local max_depth = tonumber(take())
local fields, texts = take_list(2), take_list(2)
-- A limit that is no number compares false with everything, which would allow everything.
if not (amount(session_limit) and amount(per_action) and amount(warn_percent) and amount(kept_max)) then
  return {'bad_amount'}
end
if per_turn ~= '' and not amount(per_turn) then return {'bad_amount'} end
for _, limit in ipairs({token_limit, user_limit}) do
  if limit ~= 'unlimited' and not amount(limit) then return {'bad_amount'} end
end

local answered = first_answer(idem, fingerprint)
if answered then return answered end
local caps = redis.call('HMGET', workspace, 'id', 'max_sessions', 'killed')
if not caps[1] then return {'no_workspace'} end
if caps[3] == '1' then return {'killed'} end
if redis.call('EXISTS', session) == 1 then return {'exists'} end
local live = tonumber(redis.call('HGET', ws_stats, 'sessions:live') or 0)
if caps[2] ~= 'unlimited' and live >= tonumber(caps[2]) then return {'workspace_full', caps[2]} end
local depth, root = 0, sid
if parent ~= session then
  local above = redis.call('HMGET', parent, 'depth', 'root', 'state', 'ending')
  if not above[1] then return {'no_parent'} end
  if above[3] == 'ended' or above[4] == '1' then return {'parent_ended'} end
  depth, root = tonumber(above[1]) + 1, above[2]
  if depth >= max_depth then return {'too_deep', tostring(max_depth)} end
end

audit(workspace, log, now, audit_body)
redis.call('HSET', session, 'id', sid, 'state', 'idle', 'root', root, 'depth', depth,
  'is_subagent', depth > 0 and 1 or 0, 'created_ms', now, 'active_ms', now, 'token_count', 0,
  'turn_count', 0, 'step_count', 0, 'tool_call_count', 0, 'approval_count', 0, 'epoch', 0,
  'owner', '', 'worker', '', 'lease_until_ms', 0, 'append_no', 0, 'event_seq', 0,
  'message_count', 0, 'context_start', 0, 'cancel_epoch', 0, 'turn', '', 'inbox_seq', 0,
  'seen_seq', 0, 'since_ms', 0, 'attempts', 0, 'ending', 0, 'cancelling', 0,
  'blocked', '', unpack(fields))
if #texts > 0 then redis.call('HSET', text, unpack(texts)) end
local kept = math.min(math.floor(tonumber(session_limit) / 20), tonumber(kept_max))
open_account(account, session_limit, token_limit, warn_percent, kept)
redis.call('HSET', account, 'per_action', per_action)
if per_turn ~= '' then redis.call('HSET', account, 'per_turn', per_turn) end
open_account(user_account, user_limit, 'unlimited', warn_percent, 0)
redis.call('SADD', users, user_name)
redis.call('ZADD', states.idle, now, sid)
count('sessions:idle', 1)
count('sessions:live', 1)
for _, index in ipairs(indexes) do redis.call('ZADD', index, now, sid) end
remember(idem, fingerprint, sid, idem_ttl_ms)
local seq = emit(session, events, log_max, now, {'session.created', event})
return {'ok', tostring(seq)}
