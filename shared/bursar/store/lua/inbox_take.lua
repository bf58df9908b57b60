-- Reads the inbox again, and drops the items that were dealt with.
-- KEYS: session inbox
-- ARGV: epoch owner n item*
-- Returns {'ok', inbox_seq, {items}} | {'fenced'}
-- include: args
local session, inbox = KEYS[1], KEYS[2]
local epoch, owner, done = take(), take(), take_list(1)
local s = redis.call('HMGET', session, 'epoch', 'owner', 'lease_until_ms', 'inbox_seq')
if s[1] ~= epoch or s[2] ~= owner or s[3] == '0' then return {'fenced'} end
for _, item in ipairs(done) do redis.call('LREM', inbox, 1, item) end
return {'ok', s[4], redis.call('LRANGE', inbox, 0, -1)}
