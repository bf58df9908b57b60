-- Amounts are integers in micro-USD, at most 15 digits, so every sum stays exact in a double.
-- HINCRBY refuses leading zeros, which would stop a script half way, so they are refused here.
local function amount(text)
  if not text or #text > 15 or not string.find(text, '^%d+$') then return nil end
  if #text > 1 and string.sub(text, 1, 1) == '0' then return nil end
  return tonumber(text)
end
-- Ends an open hold on its whole path: `actual` moves to posted, the held cost leaves pending.
-- Returns the names of the accounts that this pushed over their warn level.
local function settle(hold, facts, names, accounts, actual, ended_as, now)
  local cost, warned = tonumber(facts.cost), {}
  for i, account in ipairs(accounts) do
    local pending = redis.call('HINCRBY', account, 'pending', -cost)
    local posted = redis.call('HINCRBY', account, 'posted', actual)
    local a = redis.call('HMGET', account, 'limit', 'floor', 'overrun', 'warn_percent', 'warned')
    if a[1] ~= 'unlimited' then
      local bound = math.max(tonumber(a[1]), tonumber(a[2])) + tonumber(a[3])
      if posted + pending > bound then
        redis.call('HINCRBY', account, 'overrun', posted + pending - bound)
      end
      local percent = tonumber(a[4])
      if percent > 0 and a[5] ~= a[4] and posted * 100 >= tonumber(a[1]) * percent then
        redis.call('HSET', account, 'warned', a[4])
        warned[#warned + 1] = names[i]
      end
    end
  end
  redis.call('HSET', hold, 'state', ended_as, 'actual', actual, 'ended_ms', now)
  return warned
end
local function read_hold(hold)
  local h = redis.call('HMGET', hold, 'state', 'cost', 'secret', 'accounts', 'sent', 'actual',
    'session', 'turn', 'step', 'kind', 'price', 'id', 'timer')
  if not h[1] then return nil end
  return {
    state = h[1], cost = h[2], secret = h[3], accounts = h[4], sent = h[5], actual = h[6],
    session = h[7], turn = h[8], step = h[9], kind = h[10], price = h[11], id = h[12],
    timer = h[13],
  }
end
-- One ledger entry an end of a hold; the audit adds these up against the accounts.
local function post_entry(ledger, facts, ended_as, actual, now)
  local op = ended_as == 'committed' and 'commit' or ended_as
  redis.call('XADD', ledger, '*', 'op', op, 'id', facts.id, 'cost', facts.cost, 'actual', actual,
    'accounts', facts.accounts, 'session', facts.session, 'turn', facts.turn, 'step', facts.step,
    'kind', facts.kind, 'price', facts.price, 'at_ms', now)
end
-- Accounts are the last KEYS; their names come joined by commas, in the same order.
local function split(names)
  local list = {}
  for name in string.gmatch(names, '[^,]+') do list[#list + 1] = name end
  return list
end
local function keys_from(first)
  local list = {}
  for i = first, #KEYS do list[#list + 1] = KEYS[i] end
  return list
end
