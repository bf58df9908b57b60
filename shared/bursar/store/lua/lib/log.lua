-- Appends events [kind, body, kind, body, …] to a log and publishes the same bytes on the channel of the
-- same name; `counter` is the hash that numbers them. A body is a JSON object; seq and at_ms are added
-- here, where they are known. Returns the last one's seq, how many listeners heard it, and all data.
-- include: json
local function append(counter, log, log_max, now, list)
  local count = #list / 2
  if count == 0 then return tonumber(redis.call('HGET', counter, 'event_seq')), 0, {} end
  local all, seq, heard = {}, redis.call('HINCRBY', counter, 'event_seq', count) - count, 0
  for i = 1, #list, 2 do
    seq = seq + 1
    local data = extend(list[i + 1], string.format('"seq":%d,"at_ms":%d', seq, now))
    redis.call('XADD', log, 'MAXLEN', '~', log_max, string.format('%d-0', seq),
      't', list[i], 'd', data)
    heard = redis.call('PUBLISH', log, string.format('%d %s ', seq, list[i]) .. data)
    all[#all + 1] = data
  end
  return seq, heard, all
end
