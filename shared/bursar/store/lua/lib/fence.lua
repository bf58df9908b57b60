-- May this worker write? 'ok'; 'repeat' when its last write arrives again after a lost reply
-- (then nothing is written); 'fenced' when the lease is another's or given back; 'gone'.
-- append_no numbers the writes of one lease from 1, so none is applied twice or out of order.
local function fence(session, epoch, owner, append_no)
  local held = redis.call('HMGET', session, 'epoch', 'owner', 'append_no', 'lease_until_ms')
  if not held[1] then return 'gone' end
  if held[1] ~= epoch or held[2] ~= owner then return 'fenced' end
  if held[3] == append_no then return 'repeat' end
  if held[4] == '0' or tonumber(held[3]) + 1 ~= tonumber(append_no) then return 'fenced' end
  return 'ok'
end
