-- Creates a session with its account, indexes and first event, all or nothing. With a draft, that
-- becomes its history.
-- KEYS: session events tree tree_log stats ws_stats idle queued running waiting ended live tree_blocked
--       text account user_account workspace sessions user path idem parent users audit members
--       [draft messages]
-- ARGV: sid fingerprint idem_ttl_ms event audit_body log_max session_limit token_limit per_action
--       per_turn warn_percent kept_max user_limit user_name max_depth max_live n
--       (field value)* n (text_field value)* draft_length log_ttl_ms
-- Returns {'ok', seq} | {'repeat', sid} | {'idem_conflict'} | {'exists'} | {'no_workspace'} |
--         {'killed'} | {'workspace_full', cap} | {'no_parent'} | {'parent_ended'} | {'too_deep', max_depth} |
--         {'tree_full', max_live} | {'bad_amount'} | {'no_draft'}
-- `parent` is the session's own key when it is a root. 'no_draft': it is not as long as it was written.
-- durable: with draft
-- include: clock
-- include: args
-- include: idem
-- include: open
-- include: events
-- include: audit
local text, account, user_account, workspace = KEYS[14], KEYS[15], KEYS[16], KEYS[17]
local indexes, idem, parent = {KEYS[18], KEYS[19], KEYS[20]}, KEYS[21], KEYS[22]
local users, log, members, draft, messages = KEYS[23], KEYS[24], KEYS[25], KEYS[26], KEYS[27]
local sid, fingerprint, idem_ttl_ms, event = take(), take(), take(), take()
local audit_body, log_max = take(), take()
local o = {sid = sid, text = text, account = account,
  session_limit = take(), token_limit = take(), per_action = take(), per_turn = take(),
  warn_percent = take(), kept_max = take()}
local user_limit, user_name, max_depth, max_live = take(), take(), tonumber(take()), take()
o.fields, o.texts = take_list(2), take_list(2)
local draft_length, log_ttl_ms = tonumber(take()), take()
if bad_limits(o) or (user_limit ~= 'unlimited' and not amount(user_limit)) then return {'bad_amount'} end

local answered = first_answer(idem, fingerprint)
if answered then return answered end
local caps = redis.call('HMGET', workspace, 'id', 'max_sessions', 'killed')
if not caps[1] then return {'no_workspace'} end
if caps[3] == '1' then return {'killed'} end
if redis.call('EXISTS', session) == 1 then return {'exists'} end
local open = tonumber(redis.call('HGET', ws_stats, 'sessions:live') or 0)
if caps[2] ~= 'unlimited' and open >= tonumber(caps[2]) then return {'workspace_full', caps[2]} end
o.depth, o.root = 0, sid
if parent ~= session then
  local above = redis.call('HMGET', parent, 'depth', 'root', 'state', 'ending')
  if not above[1] then return {'no_parent'} end
  if above[3] == 'ended' or above[4] == '1' then return {'parent_ended'} end
  o.depth, o.root = tonumber(above[1]) + 1, above[2]
  if o.depth >= max_depth then return {'too_deep', tostring(max_depth)} end
  if redis.call('SCARD', live) >= tonumber(max_live) then return {'tree_full', max_live} end
end
if draft and redis.call('LLEN', draft) ~= draft_length then return {'no_draft'} end

audit(workspace, log, now, audit_body)
open_session(o, 'idle', now)
list_sessions({sid}, 'idle', indexes, tree ~= session and members, now)
if draft then
  redis.call('RENAME', draft, messages)
  redis.call('PERSIST', messages)
  redis.call('HSET', session, 'message_count', draft_length)
end
open_account(user_account, user_limit, 'unlimited', o.warn_percent, 0)
redis.call('SADD', users, user_name)
remember(idem, fingerprint, sid, idem_ttl_ms)
local seq = emit(session, events, log_max, now, {'session.created', event})
-- One that has a history may never be spoken to again: its log lives as if that had just been made.
if draft then redis.call('PEXPIRE', events, log_ttl_ms) end
return {'ok', tostring(seq)}
