-- Whether one entry of a stream came before another, by their ids.
local function earlier(one, other)
  local one_ms, one_no = string.match(one, '^(%d+)-(%d+)$')
  local other_ms, other_no = string.match(other, '^(%d+)-(%d+)$')
  if one_ms ~= other_ms then return tonumber(one_ms) < tonumber(other_ms) end
  return tonumber(one_no) < tonumber(other_no)
end
