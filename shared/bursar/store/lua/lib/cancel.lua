-- Records that a started turn is to be cancelled, once: its driver finds the item in the inbox.
-- Returns the number of the newest inbox item.
local function ask_cancel(session, account, inbox, turn, tid, code, reason, now)
  if redis.call('HSETNX', turn, 'cancel_ms', now) == 0 then
    return tonumber(redis.call('HGET', session, 'inbox_seq'))
  end
  redis.call('HSET', turn, 'cancel_code', code, 'cancel_reason', reason)
  redis.call('HSET', session, 'cancelling', 1)
  redis.call('HINCRBY', session, 'cancel_epoch', 1)
  -- Here it is seen by all holds of sessions below, which pass this account.
  redis.call('HINCRBY', account, 'cancel_epoch', 1)
  local inbox_seq = redis.call('HINCRBY', session, 'inbox_seq', 1)
  redis.call('RPUSH', inbox, string.format('%d cancel ', inbox_seq) .. tid)
  return inbox_seq
end
