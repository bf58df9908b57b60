-- Drops the ledger's entries before a given one, which is a checkpoint's first or older: without those
-- behind it nobody could tell any more what the accounts are made of.
-- KEYS: workspace ledger
-- ARGV: checkpoint oldest
--       oldest: the entry that becomes the ledger's first
-- Returns {'ok', dropped} | {'no_checkpoint'}
-- include: entry
local workspace, ledger = KEYS[1], KEYS[2]
local checkpoint, oldest = ARGV[1], ARGV[2]
local complete = redis.call('HGET', workspace, 'checkpoint')
if not complete or earlier(complete, checkpoint) or earlier(checkpoint, oldest) then return {'no_checkpoint'} end
return {'ok', redis.call('XTRIM', ledger, 'MINID', '=', oldest)}
