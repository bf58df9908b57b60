-- What a step leaves behind: messages, effects, counters, the settlement of its hold, and inbox items
-- that are dealt with: of an input that joined the turn the text goes, too.
-- Read with read_commit before the first write, applied with apply_commit after all checks.
-- include: stats
-- include: money
-- include: json
-- include: audit
local function read_commit(first_hold_key)
  local c = {items = take_list(1), messages = take_list(1), effects = take_list(2), effects_done = take_list(1)}
  c.steps, c.tool_calls = tonumber(take()), tonumber(take())
  c.input_tokens, c.output_tokens, c.token_count = tonumber(take()), tonumber(take()), take()
  c.secret, c.actual, c.tokens, c.ended_as, c.names = take(), take(), take(), take(), take()
  c.hold_ttl_ms, c.warning, c.records, c.turn_done = take(), take(), take_list(1), take_list(1)
  c.verdict = take()
  if #KEYS < first_hold_key then return c end
  c.hold, c.timers, c.ledger = KEYS[first_hold_key], KEYS[first_hold_key + 1], KEYS[first_hold_key + 2]
  c.facts = read_hold(c.hold)
  if not c.facts then return nil, 'no_hold' end
  if c.facts.secret ~= c.secret then return nil, 'bad_secret' end
  if c.facts.accounts ~= c.names then return nil, 'path_mismatch' end
  if not amount(c.actual) or not amount(c.tokens) then return nil, 'bad_amount' end
  c.accounts = keys_from(first_hold_key + 3)
  return c
end
-- Returns events about accounts that this took over their warn level or overdrew, and the names of
-- those where turns wait for money.
local function apply_settlement(c, turn, effects, now)
  -- A hold that expired meanwhile was already booked in full; the ledger says so.
  if not c.hold or c.facts.state ~= 'open' then return {}, '' end
  local noted = settle(c.hold, c.facts, c.names, c.accounts, c.actual, c.tokens, c.ended_as, now)
  post_entry(c.ledger, c.facts, c.ended_as, c.actual, c.tokens, now)
  redis.call('PEXPIRE', c.hold, c.hold_ttl_ms)
  redis.call('ZREM', c.timers, c.facts.timer)
  redis.call('HDEL', effects, 'hold:' .. c.facts.id)
  redis.call('HINCRBY', turn, 'cost_microusd', c.actual)
  if c.facts.capped == '1' then redis.call('HINCRBY', turn, 'held_microusd', -c.facts.cost_number) end
  count('cost_microusd', c.actual)
  if tonumber(c.actual) > c.facts.cost_number then count('holds:underestimated', 1) end
  local list = {}
  for _, name in ipairs(noted.warned) do
    list[#list + 1] = 'budget.warning'
    list[#list + 1] = extend(c.warning, '"account":"' .. name .. '"')
  end
  if noted.overdrawn then
    count('holds:overrun', 1)
    list[#list + 1] = 'budget.overrun'
    list[#list + 1] = extend(c.warning, '"account":"' .. noted.overdrawn .. '"')
  end
  return list, table.concat(noted.waiting, ',')
end
-- A model may ask for any number of calls, and Lua passes 8,000 values at most.
local function in_parts(command, key, values)
  for i = 1, #values, 1000 do
    redis.call(command, key, unpack(values, i, math.min(i + 999, #values)))
  end
end
local function apply_commit(c, inbox, messages, effects, turn, workspace, log, now)
  for _, record in ipairs(c.records) do audit(workspace, log, now, record) end
  for _, item in ipairs(c.items) do
    redis.call('LREM', inbox, 1, item)
    local joined = string.match(item, '^(%d+) inject ')
    if joined and redis.call('HDEL', turn, 'injected:' .. joined) == 1 then
      redis.call('HINCRBY', turn, 'injections', -1)
    end
  end
  in_parts('RPUSH', messages, c.messages)
  if #c.messages > 0 then redis.call('HINCRBY', session, 'message_count', #c.messages) end
  in_parts('HSET', effects, c.effects)
  in_parts('HDEL', effects, c.effects_done)
  if c.verdict ~= '' then redis.call('HSET', turn, 'verdict', c.verdict) end
  if #c.turn_done > 0 then redis.call('HDEL', turn, unpack(c.turn_done)) end
  if c.steps > 0 then
    redis.call('HINCRBY', session, 'step_count', c.steps)
    redis.call('HINCRBY', turn, 'steps', c.steps)
    count('steps', c.steps)
  end
  -- Not only steps use tokens: the summary of a context does, too.
  if c.input_tokens + c.output_tokens > 0 then
    redis.call('HINCRBY', turn, 'input_tokens', c.input_tokens)
    redis.call('HINCRBY', turn, 'output_tokens', c.output_tokens)
    count('input_tokens', c.input_tokens)
    count('output_tokens', c.output_tokens)
  end
  if c.tool_calls > 0 then
    redis.call('HINCRBY', session, 'tool_call_count', c.tool_calls)
    redis.call('HINCRBY', turn, 'tool_calls', c.tool_calls)
    count('tool_calls', c.tool_calls)
  end
  if c.token_count ~= '' then redis.call('HSET', session, 'token_count', c.token_count) end
  return apply_settlement(c, turn, effects, now)
end
