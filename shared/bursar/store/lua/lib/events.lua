-- Appends events [kind, body, kind, body, …] to a session's log and publishes the same bytes on the
-- channel of the same name. A body is a JSON object; seq and at_ms are added here, where they are known.
-- Returns the last one's seq, and how many listeners of this server heard it.
-- include: json
local function emit(session, events, log_max, now, list)
  local count = #list / 2
  if count == 0 then return tonumber(redis.call('HGET', session, 'event_seq')), 0 end
  local seq, heard = redis.call('HINCRBY', session, 'event_seq', count) - count, 0
  for i = 1, #list, 2 do
    seq = seq + 1
    local data = extend(list[i + 1], string.format('"seq":%d,"at_ms":%d', seq, now))
    redis.call('XADD', events, 'MAXLEN', '~', log_max, string.format('%d-0', seq),
      't', list[i], 'd', data)
    heard = redis.call('PUBLISH', events, string.format('%d %s ', seq, list[i]) .. data)
  end
  return seq, heard
end
