-- Opens an account that has spent nothing, unless it exists.
local function open_account(account, limit, warn_percent)
  if redis.call('HSETNX', account, 'limit', limit) == 0 then return end
  redis.call('HSET', account, 'posted', 0, 'pending', 0, 'kept', 0, 'overrun', 0, 'floor', 0,
    'frozen', 0, 'warn_percent', warn_percent, 'warned', '')
end
