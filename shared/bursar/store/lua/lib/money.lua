-- Amounts are integers in micro-USD, at most 15 digits, so every sum stays exact in a double.
-- Redis refuses leading zeros in numbers it adds to, so they are refused here.
local function amount(text)
  if not text or #text > 15 or not string.find(text, '^%d+$') then return nil end
  if #text > 1 and string.sub(text, 1, 1) == '0' then return nil end
  return tonumber(text)
end
-- Accounts are the last KEYS; their names come joined by commas, in the same order. They are taken
-- apart only where one has to be named.
local function name_at(names, i)
  for name in string.gmatch(names, '[^,]+') do
    if i == 1 then return name end
    i = i - 1
  end
end
-- Ends an open hold on its whole path: what was really spent moves to posted, what was held leaves
-- pending. Returns the names of accounts that this pushed over their warn level, of those where
-- turns wait for money, and of the lowest that is overdrawn, which is frozen.
local function settle(hold, facts, names, accounts, actual, tokens, ended_as, now)
  local spent, used = tonumber(actual), tonumber(tokens)
  local noted, lowest = {warned = {}, waiting = {}}, nil
  for i, account in ipairs(accounts) do
    local a = redis.call('HMGET', account, 'limit', 'posted', 'pending', 'tokens_posted',
      'tokens_pending', 'floor', 'overrun', 'warn_percent', 'warned', 'waiting')
    if a[1] then
      local posted, pending = tonumber(a[2]) + spent, tonumber(a[3]) - facts.cost_number
      local changed = {'posted', posted, 'pending', pending, 'tokens_posted', tonumber(a[4]) + used,
        'tokens_pending', tonumber(a[5]) - facts.tokens_number}
      if a[1] ~= 'unlimited' then
        local limit, percent = tonumber(a[1]), tonumber(a[8])
        local bound = math.max(limit, tonumber(a[6])) + tonumber(a[7])
        if posted + pending > bound then
          changed[9], changed[10] = 'overrun', tonumber(a[7]) + posted + pending - bound
          lowest = i
        end
        if percent > 0 and a[9] ~= a[8] and posted * 100 >= limit * percent then
          changed[#changed + 1], changed[#changed + 2] = 'warned', a[8]
          noted.warned[#noted.warned + 1] = name_at(names, i)
        end
      end
      -- Only a call that used more than was held for it can pass a limit.
      if used > facts.tokens_number then
        local limit = redis.call('HGET', account, 'token_limit')
        if limit ~= 'unlimited' and changed[6] + changed[8] > tonumber(limit) then lowest = i end
      end
      redis.call('HSET', account, unpack(changed))
      if a[10] and a[10] ~= '0' then noted.waiting[#noted.waiting + 1] = name_at(names, i) end
    end
  end
  if lowest then
    local account = accounts[lowest]
    redis.call('HSET', account, 'frozen', 1)
    noted.overdrawn = name_at(names, lowest)
  end
  redis.call('HSET', hold, 'state', ended_as, 'actual', actual, 'actual_tokens', tokens, 'ended_ms', now)
  return noted
end
local function read_hold(hold)
  local h = redis.call('HMGET', hold, 'state', 'cost', 'secret', 'accounts', 'sent', 'actual',
    'session', 'turn', 'step', 'kind', 'price', 'id', 'timer', 'tokens', 'actual_tokens', 'epoch', 'capped')
  if not h[1] then return nil end
  return {
    state = h[1], cost = h[2], secret = h[3], accounts = h[4], sent = h[5], actual = h[6],
    session = h[7], turn = h[8], step = h[9], kind = h[10], price = h[11], id = h[12],
    timer = h[13], tokens = h[14], actual_tokens = h[15], epoch = h[16], capped = h[17],
    cost_number = tonumber(h[2]), tokens_number = tonumber(h[14]),
  }
end
-- One ledger entry an end of a hold; the audit adds these up against the accounts.
local function post_entry(ledger, facts, ended_as, actual, tokens, now)
  local op = ended_as == 'committed' and 'commit' or ended_as
  redis.call('XADD', ledger, '*', 'op', op, 'id', facts.id, 'cost', facts.cost, 'actual', actual,
    'tokens', tokens, 'accounts', facts.accounts, 'session', facts.session, 'turn', facts.turn,
    'step', facts.step, 'kind', facts.kind, 'price', facts.price, 'at_ms', now)
end
local function keys_from(first)
  local list = {}
  for i = first, #KEYS do list[#list + 1] = KEYS[i] end
  return list
end
