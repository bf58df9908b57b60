-- Appends an entry to an audit log: `body` is a JSON object, the numbers have no gaps.
-- `counter` is the hash that counts them: of the workspace, or of the installation.
-- include: json
local function audit(counter, log, now, body)
  local seq = redis.call('HINCRBY', counter, 'audit_seq', 1)
  redis.call('XADD', log, string.format('%d-0', seq), 'd',
    extend(body, string.format('"seq":%d,"at_ms":%d', seq, now)))
end
