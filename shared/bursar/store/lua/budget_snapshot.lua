-- Accounts beside what they can be checked against, all of one moment: where the ledger ends, which
-- holds are open, how many stand in line. What holds are for and the ledger up to that end do not
-- change any more, so they are read afterwards.
-- KEYS: workspace ledger timers part+
-- A part is one of three keys for each account: its hash, its line, and the session whose account it
-- is, or the workspace.
-- ARGV: hold_prefix
--       hold_prefix: what the timers of this workspace's holds begin with
-- Returns {'ok', newest, checkpoint, {timer}, {{owner_created_ms, in_line, value*}}}
--   value: limit posted pending tokens_posted tokens_pending floor overrun waiting
-- include: money
local workspace, ledger, timers, parts = KEYS[1], KEYS[2], KEYS[3], keys_from(4)
local prefix = ARGV[1]
local newest = redis.call('XREVRANGE', ledger, '+', '-', 'COUNT', 1)[1]
local open = {}
for _, timer in ipairs(redis.call('ZRANGE', timers, 0, -1)) do
  if string.sub(timer, 1, #prefix) == prefix then open[#open + 1] = timer end
end
local accounts = {}
for i = 1, #parts, 3 do
  local account, line, owner = parts[i], parts[i + 1], parts[i + 2]
  local a = redis.call('HMGET', account, 'limit', 'posted', 'pending', 'tokens_posted', 'tokens_pending',
    'floor', 'overrun', 'waiting')
  accounts[#accounts + 1] = {redis.call('HGET', owner, 'created_ms'), redis.call('ZCARD', line), unpack(a)}
end
return {'ok', newest and newest[1] or '0-0', redis.call('HGET', workspace, 'checkpoint') or '', open, accounts}
