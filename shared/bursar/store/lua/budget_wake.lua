-- Which of the turns that wait for money of an account may go on: those that fit now, oldest first,
-- and those for which waiting has become useless, because what was in the way is spent. People are
-- asked about the account as long as one of the others does not fit at all.
-- KEYS: account waiters accounts_waiting questions
-- ARGV: account_name wait_ref n gone_member*
--       gone_member: those that turned out not to wait any more; they leave the line first
-- Returns {'ok', {member}} | {'none'}
-- include: clock
-- include: args
-- include: room
local account, waiters, accounts_waiting, questions = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local name, wait_ref, gone = take(), take(), take_list(1)
for _, member in ipairs(gone) do
  if redis.call('ZREM', waiters, member) == 1 then redis.call('HINCRBY', account, 'waiting', -1) end
end
local a = redis.call('HMGET', account, 'limit', 'posted', 'pending', 'kept', 'frozen', 'token_limit',
  'tokens_posted', 'tokens_pending', 'asked_ms')
local line = redis.call('ZRANGE', waiters, 0, 99)
local function ask(whether)
  if whether and not a[9] then
    redis.call('HSET', account, 'asked_ms', now)
    redis.call('ZADD', questions, now, name)
  elseif a[9] and not whether then
    redis.call('HDEL', account, 'asked_ms')
    redis.call('ZREM', questions, name)
  end
end
if #line == 0 or not a[1] then
  redis.call('ZREM', accounts_waiting, wait_ref)
  ask(false)
  return {'none'}
end
if a[5] == '1' then
  ask(true)
  return {'ok', {}}
end
local posted, pending, tokens_posted, tokens_pending = tonumber(a[2]), tonumber(a[3]), tonumber(a[7]), tonumber(a[8])
local may, stuck, all = {}, false, true
for _, member in ipairs(line) do
  local cost, tokens, kind, keeps = string.match(member, '^(%d+) (%d+) (%l+) (%d)')
  local limit, token_limit = limit_of(a[1], keeps == '1' and a[4]), limit_of(a[6])
  local why = limit and refusal_of(limit, posted, pending, tonumber(cost))
    or token_limit and refusal_of(token_limit, tokens_posted, tokens_pending, tonumber(tokens))
  if not why then
    pending, tokens_pending = pending + tonumber(cost), tokens_pending + tonumber(tokens)
    may[#may + 1] = member
  elseif why == 'contended' then
    -- Those behind it do not overtake: what is held comes free, and it was first.
    all = false
    break
  elseif kind == 'contended' then
    may[#may + 1] = member
  else
    stuck = true
  end
end
if stuck or all then ask(stuck) end
return {'ok', may}
