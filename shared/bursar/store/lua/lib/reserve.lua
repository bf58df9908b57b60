-- Holding an amount on a whole path of accounts: `read_wish` takes what is wanted from ARGV,
-- `plan_hold` checks it against everything, `apply_hold` writes what the plan says.
-- include: money
-- include: room
local function read_wish()
  local w = {id = take(), timer = take(), secret = take(), cost_text = take(), tokens_text = take(),
    sent = take(), ttl_ms = take(), names = take(), sid = take(), tid = take(), step = take(),
    kind = take(), price = take()}
  w.cost, w.tokens = amount(w.cost_text), amount(w.tokens_text)
  w.closing = string.sub(w.kind, 1, 7) == 'closing'
  return w
end
local function refuse(w, why, i, limit, posted, pending, room, unit)
  return {'refused', why, name_at(w.names, i), limit, posted, pending,
    unit and w.tokens_text or w.cost_text, string.format('%d', math.max(0, room)), unit or 'microusd'}
end
-- `born` are the cancels that the sessions above had seen when this one was spawned, from the root down:
-- one more, and it may spend nothing. `-` stands for one whose cancel is none of its business. Sessions
-- that were opened by hand have no `born`.
local function cancelled_above(born, marks)
  local i = 0
  for seen in string.gmatch(born, '%S+') do
    i = i + 1
    if seen ~= '-' and seen ~= marks[i] then return true end
  end
  return false
end
-- Returns the plan, or nil and the answer of a script that must not go on.
local function plan_hold(w, hold, turn, accounts, born)
  if not w.cost or not w.tokens then return nil, {'bad_amount'} end
  local first = redis.call('HMGET', hold, 'cost', 'state', 'secret', 'accounts', 'tokens')
  if first[1] then
    if first[1] ~= w.cost_text or first[4] ~= w.names or first[5] ~= w.tokens_text then
      return nil, {'id_conflict'}
    end
    return nil, {'repeat', first[2], first[3]}
  end
  local last = #accounts
  local own_account = accounts[last]
  local own = redis.call('HMGET', own_account, 'per_action', 'per_turn', 'limit')
  -- One that equals the limit is none of its own; that refusal may end, this one does not.
  if own[1] and own[1] ~= own[3] and w.cost > tonumber(own[1]) then
    return nil, refuse(w, 'per_action', last, own[1], '0', '0', tonumber(own[1]))
  end
  local capped = own[2] and own[2] ~= ''
  if capped then
    local t = redis.call('HMGET', turn, 'cost_microusd', 'held_microusd')
    local spent, held = t[1] or '0', t[2] or '0'
    local room = tonumber(own[2]) - tonumber(spent) - tonumber(held)
    if w.cost > room then return nil, refuse(w, 'per_turn', last, own[2], spent, held, room) end
  end
  if w.closing and redis.call('HEXISTS', turn, 'closing') == 1 then return nil, {'closing_used'} end
  local plan, marks = {capped = capped, warned = '0'}, {}
  for i, account in ipairs(accounts) do
    local a = redis.call('HMGET', account, 'limit', 'posted', 'pending', 'kept', 'frozen', 'token_limit',
      'tokens_posted', 'tokens_pending', 'warned', 'cancel_epoch')
    if not a[1] or not a[6] then return nil, {'no_account', name_at(w.names, i)} end
    local posted, pending = tonumber(a[2]), tonumber(a[3])
    -- Only the root and the own session keep something back.
    local kept = not w.closing and i >= 3 and (i == 3 or i == last) and a[4]
    local limit, token_limit = limit_of(a[1], kept), limit_of(a[6])
    if a[5] == '1' then return nil, refuse(w, 'frozen', i, limit and a[1] or '0', a[2], a[3], 0) end
    local why = limit and refusal_of(limit, posted, pending, w.cost)
    if why then return nil, refuse(w, why, i, a[1], a[2], a[3], limit - posted - pending) end
    local tokens_pending = tonumber(a[8])
    why = token_limit and refusal_of(token_limit, tonumber(a[7]), tokens_pending, w.tokens)
    if why then
      local room = token_limit - tonumber(a[7]) - tokens_pending
      return nil, refuse(w, why, i, a[6], a[7], a[8], room, 'tokens')
    end
    if a[9] ~= '' then plan.warned = '1' end
    plan[i] = {pending + w.cost, tokens_pending + w.tokens}
    if i > 2 and i < last then marks[#marks + 1] = a[10] or '0' end
  end
  if born and cancelled_above(born, marks) then return nil, {'tree_cancelled'} end
  return plan
end
local function apply_hold(w, plan, hold, timers, turn, effects, accounts, epoch, now)
  for i, account in ipairs(accounts) do
    redis.call('HSET', account, 'pending', plan[i][1], 'tokens_pending', plan[i][2])
  end
  redis.call('HSET', hold, 'id', w.id, 'secret', w.secret, 'state', 'open', 'cost', w.cost_text,
    'tokens', w.tokens_text, 'sent', w.sent, 'accounts', w.names, 'session', w.sid, 'turn', w.tid,
    'step', w.step, 'kind', w.kind, 'price', w.price, 'timer', w.timer, 'epoch', epoch,
    'capped', plan.capped and 1 or 0, 'created_ms', now)
  redis.call('ZADD', timers, now + tonumber(w.ttl_ms), w.timer)
  redis.call('HSET', effects, 'hold:' .. w.id, w.names)
  if plan.capped then redis.call('HINCRBY', turn, 'held_microusd', w.cost_text) end
  if w.closing then redis.call('HSET', turn, 'closing', w.id) end
end
