-- Lets a tool call run, right before its effect may happen: uses up what it rests on, holds what it
-- costs, marks it as sent and records that, all or nothing.
-- KEYS: session events tree tree_log stats ws_stats effects workspace audit allowances revoked used approval
--       timers [hold hold_timers turn account+]
-- ARGV: epoch owner append_no call_field gate_version once audit_body log_max n (event body)*
--       proof n proof_part*  (then as budget_reserve from its id on, if there is a hold)
--       proof: none
--              allowance, parts: id expires_ms root timer keep_ms
--                expires_ms and root may be empty; one that is used up is remembered for keep_ms
--              capability, parts: expires_ms single_use call id ancestor*
--              approval, parts: arguments_sha256 manifest policy id
--       once: whether a call that was sent must not start again
-- Returns {'ok', seq, warned} | {'repeat', seq} | {'fenced'} | {'gone'} | {'no_call'} | {'call_sent'} |
--   {'stale', gate_version} | {'void', state, reason} | {'tree_cancelled'} | as budget_reserve refuses
--   stale: a rule or a grant has changed since the caller looked, or is used up; look again
--   void: the approval is not for this call any more
-- A call that was sent before, on a worker that died, uses nothing up a second time.
-- durable: with hold
-- include: clock
-- include: args
-- include: fence
-- include: stats
-- include: events
-- include: audit
-- include: reserve
local effects, workspace, log, allowances = KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local revoked, used, approval = KEYS[11], KEYS[12], KEYS[13]
local timers = KEYS[14]
local hold, hold_timers, turn, accounts = KEYS[15], KEYS[16], KEYS[17], keys_from(18)
local epoch, owner, append_no, call, version, once = take(), take(), take(), take(), take(), take()
local audit_body, log_max, list = take(), take(), take_list(2)
local proof, parts = take(), take_list(1)
local verdict = fence(session, epoch, owner, append_no)
if verdict == 'repeat' then return {'repeat', redis.call('HGET', session, 'event_seq')} end
if verdict ~= 'ok' then return {verdict} end
local served = 'proof' .. string.sub(call, 5)
local before = redis.call('HMGET', effects, call, served)
if not before[1] then return {'no_call'} end
if once == '1' and before[1] == 'sent' then return {'call_sent'} end
local current = redis.call('HGET', workspace, 'gate_version') or '0'
if current ~= version then return {'stale', current} end

local left, mark
if proof == 'allowance' then
  if parts[2] ~= '' and tonumber(parts[2]) <= now then return {'stale', current} end
  left = redis.call('HGET', allowances, parts[1] .. ':left')
  if left == 'revoked' then return {'stale', current} end
  mark = table.concat({'allowance', parts[1], parts[3]}, ' ')
  if left and before[2] == mark then left = nil end
  if left == '0' then return {'stale', current} end
elseif proof == 'capability' then
  if tonumber(parts[1]) <= now then return {'stale', current} end
  for i = 4, #parts do
    if redis.call('HEXISTS', revoked, parts[i]) == 1 then return {'stale', current} end
  end
  if parts[2] == '1' then
    local by = redis.call('HGET', used, parts[4])
    if by and by ~= parts[3] then return {'stale', current} end
  end
elseif proof == 'approval' then
  -- Which call it is for stands with the call itself: no other one can be started by it.
  mark = 'approval ' .. parts[4] .. ' '
  local a = redis.call('HMGET', approval, 'state', 'arguments_sha256', 'manifest', 'policy')
  local waits = a[1] == 'approved' and before[1] == 'waiting ' .. parts[4]
  local again = a[1] == 'consumed' and before[1] == 'sent' and before[2] == mark
  if not waits and not again then return {'void', a[1] or 'gone', 'it is not approved for this call'} end
  if a[2] ~= parts[1] then return {'void', a[1], 'its arguments changed'} end
  if a[3] ~= parts[2] then return {'void', a[1], 'its tool changed'} end
  if a[4] ~= parts[3] then return {'void', a[1], 'the policy changed'} end
end
local wish, plan
local s = redis.call('HMGET', session, 'cancelling', 'born')
if s[1] == '1' then return {'tree_cancelled'} end
if hold then
  wish = read_wish()
  local refusal
  plan, refusal = plan_hold(wish, hold, turn, accounts, s[2])
  if refusal then return refusal end
end

if left then
  if tonumber(left) == 1 then
    redis.call('HDEL', allowances, parts[1])
    redis.call('ZADD', timers, now + tonumber(parts[5]), parts[4])
    redis.call('HINCRBY', workspace, 'gate_version', 1)
  end
  redis.call('HINCRBY', allowances, parts[1] .. ':left', -1)
elseif proof == 'capability' and parts[2] == '1' then
  redis.call('HSET', used, parts[4], parts[3])
elseif proof == 'approval' then
  redis.call('HSET', approval, 'state', 'consumed', 'consumed_ms', now)
end
if hold then apply_hold(wish, plan, hold, hold_timers, turn, effects, accounts, epoch, now) end
redis.call('HSET', effects, call, 'sent')
if mark then redis.call('HSET', effects, served, mark) end
redis.call('HSET', session, 'append_no', append_no)
audit(workspace, log, now, audit_body)
return {'ok', tostring(emit(session, events, log_max, now, list)), plan and plan.warned or '0'}
