-- Writes into the ledger what accounts have spent, so that the entries before may go. The first call
-- begins a checkpoint, the last one makes it count; in between others book as ever: what they book
-- before an account's turn comes is in what is carried forward, the rest follows it.
-- KEYS: workspace ledger account*
-- ARGV: id begun last n name*
--       begun: the entry with which it began; empty in the first call, which makes that entry
-- Returns {'ok', begun, carried}
-- include: clock
-- include: args
-- include: money
-- include: entry
local workspace, ledger, accounts = KEYS[1], KEYS[2], keys_from(3)
local id, begun, last, names = take(), take(), take(), take_list(1)
if begun == '' then begun = redis.call('XADD', ledger, '*', 'op', 'checkpoint', 'id', id, 'at_ms', now) end
local carried = 0
for i, account in ipairs(accounts) do
  local a = redis.call('HMGET', account, 'limit', 'posted', 'tokens_posted', 'overrun')
  -- One that has spent nothing needs no entry: a ledger is added up from zero.
  if a[1] and (a[2] ~= '0' or a[3] ~= '0' or a[4] ~= '0') then
    redis.call('XADD', ledger, '*', 'op', 'carried_forward', 'id', id, 'account', names[i],
      'posted', a[2], 'tokens', a[3], 'overrun', a[4], 'at_ms', now)
    carried = carried + 1
  end
end
if last == '1' then
  local before = redis.call('HGET', workspace, 'checkpoint')
  if not before or earlier(before, begun) then redis.call('HSET', workspace, 'checkpoint', begun) end
end
return {'ok', begun, carried}
