-- Appends events to the log of a session of this tree. Those of a session below the root, but for
-- streamed text, are repeated in the tree's log, under a number of its own and with the same data; that
-- log lives for a day after the last of them.
-- Returns the last one's seq in the session's log, and how many listeners heard it there.
-- include: self
-- include: log
local streamed = {['text.delta'] = true, ['reasoning.delta'] = true}
local function emit(session, events, log_max, now, list)
  local seq, heard = append(session, events, log_max, now, list)
  if tree == session then return seq, heard end
  local first = seq - #list / 2
  for i = 1, #list, 2 do
    if not streamed[list[i]] then
      local tree_seq = redis.call('HINCRBY', tree, 'tree_seq', 1)
      local data = extend(list[i + 1], string.format('"seq":%d,"at_ms":%d', first + (i + 1) / 2, now))
      redis.call('XADD', tree_log, 'MAXLEN', '~', log_max, string.format('%d-0', tree_seq),
        't', list[i], 'd', data)
      redis.call('PUBLISH', tree_log, string.format('%d %s ', tree_seq, list[i]) .. data)
    end
  end
  redis.call('PEXPIRE', tree_log, 86400000)
  return seq, heard
end
