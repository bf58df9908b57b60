-- Adds a seal to an audit log, unless another sealer was faster: then nothing is written, so that the
-- chain never forks.
-- KEYS: counter seals
-- ARGV: sealed_before to_seq seal
-- Returns {'ok'} | {'moved', sealed_seq} | {'ahead', audit_seq}
--   ahead: there is no such entry
-- durable
local counter, seals = KEYS[1], KEYS[2]
local sealed_before, to_seq, seal = ARGV[1], ARGV[2], ARGV[3]
local c = redis.call('HMGET', counter, 'audit_seq', 'sealed_seq')
local seq, sealed = c[1] or '0', c[2] or '0'
if sealed ~= sealed_before or tonumber(to_seq) <= tonumber(sealed) then return {'moved', sealed} end
if tonumber(to_seq) > tonumber(seq) then return {'ahead', seq} end
redis.call('XADD', seals, to_seq .. '-0', 'd', seal)
redis.call('HSET', counter, 'sealed_seq', to_seq)
return {'ok'}
