-- Which of many audit logs of one shard have entries that are not sealed, or a seal whose head is not
-- published? Those that have neither cost one read.
-- KEYS: counter+
-- ARGV: none
-- Returns {'ok', place, audit_seq, sealed_seq, …} with a place, from 1, for each that has
local answer = {'ok'}
for i, counter in ipairs(KEYS) do
  local c = redis.call('HMGET', counter, 'audit_seq', 'sealed_seq', 'published_seq')
  local seq, sealed = c[1] or '0', c[2] or '0'
  if seq ~= sealed or sealed ~= (c[3] or '0') then
    answer[#answer + 1], answer[#answer + 2], answer[#answer + 3] = i, seq, sealed
  end
end
return answer
