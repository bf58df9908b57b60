-- Appends an entry of its own to an audit log: for what no other script records.
-- KEYS: counter audit
-- ARGV: audit_body
-- Returns {'ok', seq} | {'no_workspace'}
-- `counter` is the workspace's hash or the installation's, which exist before their first entry.
-- include: clock
-- include: audit
local counter, log = KEYS[1], KEYS[2]
local body = ARGV[1]
if redis.call('EXISTS', counter) == 0 then return {'no_workspace'} end
audit(counter, log, now, body)
return {'ok', redis.call('HGET', counter, 'audit_seq')}
