-- Opens an account that has spent nothing, unless it exists. Scripts that check holds read the first
-- of these fields, so they come first.
local function open_account(account, limit, token_limit, warn_percent, kept)
  if redis.call('HSETNX', account, 'limit', limit) == 0 then return end
  redis.call('HSET', account, 'posted', 0, 'pending', 0, 'kept', kept, 'frozen', 0,
    'token_limit', token_limit, 'tokens_posted', 0, 'tokens_pending', 0, 'overrun', 0, 'floor', 0,
    'warn_percent', warn_percent, 'warned', '')
end
