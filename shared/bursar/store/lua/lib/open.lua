-- Makes a session that is idle, with its account, its indexes and its place in its tree. `o` says what
-- is known of it: sid root depth fields texts, the limits session_limit token_limit per_action per_turn
-- warn_percent kept_max, and the keys text account indexes members. All checks come before.
-- include: account
-- include: state
-- include: money
local function bad_limits(o)
  -- A limit that is no number compares false with everything, which would allow everything.
  for _, each in ipairs({o.per_action, o.warn_percent, o.kept_max}) do
    if not amount(each) then return true end
  end
  if o.per_turn ~= '' and not amount(o.per_turn) then return true end
  for _, limit in ipairs({o.session_limit, o.token_limit}) do
    if limit ~= 'unlimited' and not amount(limit) then return true end
  end
  return false
end
local function open_session(o, now)
  redis.call('HSET', session, 'id', o.sid, 'state', 'idle', 'root', o.root, 'depth', o.depth,
    'is_subagent', o.depth > 0 and 1 or 0, 'created_ms', now, 'active_ms', now, 'token_count', 0,
    'turn_count', 0, 'step_count', 0, 'tool_call_count', 0, 'approval_count', 0, 'epoch', 0,
    'owner', '', 'worker', '', 'lease_until_ms', 0, 'append_no', 0, 'event_seq', 0,
    'message_count', 0, 'context_start', 0, 'cancel_epoch', 0, 'turn', '', 'inbox_seq', 0,
    'seen_seq', 0, 'since_ms', 0, 'attempts', 0, 'ending', 0, 'cancelling', 0,
    'blocked', '', unpack(o.fields))
  if #o.texts > 0 then redis.call('HSET', o.text, unpack(o.texts)) end
  local kept = 0
  if o.session_limit ~= 'unlimited' then
    kept = math.min(math.floor(tonumber(o.session_limit) / 20), tonumber(o.kept_max))
  end
  open_account(o.account, o.session_limit, o.token_limit, o.warn_percent, kept)
  redis.call('HSET', o.account, 'per_action', o.per_action)
  if o.per_turn ~= '' then redis.call('HSET', o.account, 'per_turn', o.per_turn) end
  redis.call('ZADD', states.idle, now, o.sid)
  count('sessions:idle', 1)
  count('sessions:live', 1)
  for _, index in ipairs(o.indexes) do redis.call('ZADD', index, now, o.sid) end
  if tree ~= session then
    redis.call('SADD', live, o.sid)
    redis.call('ZADD', o.members, now, o.sid)
  end
end
