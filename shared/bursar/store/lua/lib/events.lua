-- Appends events to the log of a session of this tree. Those of a session below the root, but for
-- streamed text, are repeated in the tree's log, under a number of its own and with the same data; that
-- log lives for a day after the last of them.
-- Returns the last one's seq in the session's log, and how many listeners heard it there.
-- include: self
-- include: log
local streamed = {['text.delta'] = true, ['reasoning.delta'] = true}
local function emit(session, events, log_max, now, list)
  local seq, heard, all = append(session, events, log_max, now, list)
  if tree == session then return seq, heard end
  local repeated = {}
  for i, data in ipairs(all) do
    if not streamed[list[2 * i - 1]] then repeated[#repeated + 1] = {list[2 * i - 1], data} end
  end
  if #repeated == 0 then return seq, heard end
  local tree_seq = redis.call('HINCRBY', tree, 'tree_seq', #repeated) - #repeated
  for i, each in ipairs(repeated) do
    redis.call('XADD', tree_log, 'MAXLEN', '~', log_max, string.format('%d-0', tree_seq + i),
      't', each[1], 'd', each[2])
    redis.call('PUBLISH', tree_log, string.format('%d %s ', tree_seq + i, each[1]) .. each[2])
  end
  redis.call('PEXPIRE', tree_log, 86400000)
  return seq, heard
end
