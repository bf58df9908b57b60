-- A person's answer to an open question: `read_answer` takes it from ARGV, `why_refused` says what
-- stands against it, `write_answer` records it together with what it grants.
local function read_answer()
  return {ref = take(), id = take(), timer = take(), sha = take(), state = take(), released = take(),
    ttl_ms = take(), log_max = take(), told = take(), audit_body = take(), fields = take_list(2),
    grant_id = take(), grant = take(), left = take(), grant_timer = take(), grant_until = take(),
    grant_audit = take(), grants_max = take()}
end
local function why_refused(answer)
  local a = redis.call('HMGET', approval, 'state', 'arguments_sha256', 'released', 'answered_by',
    'decision', 'note')
  if not a[1] then return {'no_approval'} end
  if a[1] ~= 'pending' and a[1] ~= 'deferred' then
    return {'answered', a[1], a[4] or '', a[5] or '', a[6] or ''}
  end
  if a[2] ~= answer.sha then return {'other_call', a[2]} end
  if (a[3] or '0') ~= answer.released then return {'stale'} end
  local s = redis.call('HMGET', session, 'state', 'ending')
  -- What a turn under way waits for is answered also while its session ends; nothing begins anew.
  if not s[1] or s[1] == 'ended' or (a[3] == '1' and s[2] == '1') then return {'session_over'} end
  if answer.grant_id ~= '' and redis.call('HLEN', grants) >= tonumber(answer.grants_max) then
    return {'grants_full', answer.grants_max}
  end
  return nil
end
local function write_answer(answer, now)
  take_off(answer.id, answer.timer, redis.call('HGET', approval, 'repeat_key'), answer.state)
  redis.call('HSET', approval, 'state', answer.state, 'answered_ms', now, unpack(answer.fields))
  redis.call('PEXPIRE', approval, answer.ttl_ms)
  audit(workspace, log, now, answer.audit_body)
  if answer.grant_id ~= '' then
    redis.call('HSET', grants, answer.grant_id, answer.grant)
    if answer.left ~= '' then redis.call('HSET', grants, answer.grant_id .. ':left', answer.left) end
    if answer.grant_until ~= '' then redis.call('ZADD', timers, answer.grant_until, answer.grant_timer) end
    redis.call('HINCRBY', workspace, 'gate_version', 1)
    audit(workspace, log, now, answer.grant_audit)
  end
  tell('approval.resolved', answer.told, answer.log_max, now)
end
