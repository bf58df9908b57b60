-- Stops a workspace: from here on it accepts no input and starts nothing, and whoever finds the timer
-- cancels what is queued, running or waiting there.
-- KEYS: workspace timers audit
-- ARGV: member reason audit_body
-- Returns {'ok'} | {'no_workspace'}
-- flags: allow-oom
-- include: clock
-- include: audit
local workspace, timers, log = KEYS[1], KEYS[2], KEYS[3]
local member, reason, audit_body = ARGV[1], ARGV[2], ARGV[3]
if redis.call('EXISTS', workspace) == 0 then return {'no_workspace'} end
audit(workspace, log, now, audit_body)
redis.call('HSET', workspace, 'killed', 1, 'paused', 1, 'killed_ms', now, 'kill_reason', reason)
redis.call('ZADD', timers, now, member)
return {'ok'}
