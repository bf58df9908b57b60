-- Stops a workspace: from here on it accepts no input and starts nothing, and whoever finds the timer
-- cancels what is queued, running or waiting there.
-- KEYS: workspace timers
-- ARGV: member reason
-- Returns {'ok'} | {'no_workspace'}
-- flags: allow-oom
-- include: clock
local workspace, timers = KEYS[1], KEYS[2]
local member, reason = ARGV[1], ARGV[2]
if redis.call('EXISTS', workspace) == 0 then return {'no_workspace'} end
redis.call('HSET', workspace, 'killed', 1, 'paused', 1, 'killed_ms', now, 'kill_reason', reason)
redis.call('ZADD', timers, now, member)
return {'ok'}
