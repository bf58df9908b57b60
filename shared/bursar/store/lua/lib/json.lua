-- Adds fields, given as JSON text, to a JSON object that came encoded. An empty object takes no comma.
local function extend(body, fields)
  local head = string.sub(body, 1, -2)
  return head .. (head == '{' and '' or ',') .. fields .. '}'
end
