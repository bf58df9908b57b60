-- Writes something, so that a wait for replicas or the disk has an offset that lies behind everything
-- that came before. On low memory, too: then it must still be known that what was settled is safe.
-- KEYS: barrier
-- ARGV: ttl_ms
-- Returns {'ok'}
-- flags: allow-oom
local barrier, ttl_ms = KEYS[1], ARGV[1]
redis.call('SET', barrier, '1', 'PX', ttl_ms)
return {'ok'}
