-- Makes sessions, each with its account, then puts them into indexes and their tree all at once. `o` says
-- what is known of one: sid root depth fields texts, the limits session_limit token_limit per_action
-- per_turn warn_percent kept_max, and the keys text account. All checks come before.
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
local function open_session(o, state, now)
  redis.call('HSET', session, 'id', o.sid, 'state', state, 'root', o.root, 'depth', o.depth,
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
end
-- `members`: of the tree that they are below the root of; nil for a root.
local function list_sessions(sids, state, indexes, members, now)
  if #sids == 0 then return end
  local scored = {}
  for i, sid in ipairs(sids) do scored[2 * i - 1], scored[2 * i] = now, sid end
  redis.call('ZADD', states[state], unpack(scored))
  for _, index in ipairs(indexes) do redis.call('ZADD', index, unpack(scored)) end
  count('sessions:' .. state, #sids)
  count('sessions:live', #sids)
  if not members then return end
  redis.call('SADD', live, unpack(sids))
  redis.call('ZADD', members, unpack(scored))
end
