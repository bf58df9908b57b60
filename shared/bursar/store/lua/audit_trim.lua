-- Drops an audit log's oldest entries, up to one that a seal ends with and that was exported. That seal
-- stays: what follows is verified from it on. The log itself says that it was trimmed, by whom, up to
-- where.
-- KEYS: counter audit seals
-- ARGV: to_seq audit_body
-- Returns {'ok', dropped} | {'no_seal'} | {'not_sealed', published_seq} | {'not_exported', exported_seq} |
--   {'trimmed', trimmed_seq}
-- flags: allow-oom
-- include: clock
-- include: audit
local counter, log, seals = KEYS[1], KEYS[2], KEYS[3]
local to_seq, body = ARGV[1], ARGV[2]
local c = redis.call('HMGET', counter, 'published_seq', 'exported_seq', 'trimmed_seq')
local published, exported, trimmed = c[1] or '0', c[2] or '0', c[3] or '0'
local to = tonumber(to_seq)
if to <= tonumber(trimmed) then return {'trimmed', trimmed} end
if to > tonumber(published) then return {'not_sealed', published} end
if to > tonumber(exported) then return {'not_exported', exported} end
local id = to_seq .. '-0'
if #redis.call('XRANGE', seals, id, id) == 0 then return {'no_seal'} end
audit(counter, log, now, body)
redis.call('HSET', counter, 'trimmed_seq', to_seq)
redis.call('XTRIM', seals, 'MINID', '=', id)
return {'ok', redis.call('XTRIM', log, 'MINID', '=', string.format('%d-0', to + 1))}
