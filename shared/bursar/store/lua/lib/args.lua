-- Reads ARGV front to back; a list is its length, then its items.
local arg_at = 0
local function take()
  arg_at = arg_at + 1
  return ARGV[arg_at]
end
local function take_list(width)
  local items = {}
  for i = 1, tonumber(take()) * width do items[i] = take() end
  return items
end
