-- Whether an amount fits into an account beside what is spent and held: nil if it does, else
-- 'contended' when only what others hold is in the way, 'exhausted' when it does not fit at all.
local function refusal_of(limit, posted, pending, wanted)
  if posted + pending + wanted <= limit then return nil end
  return posted + wanted <= limit and 'contended' or 'exhausted'
end
-- The limit less the part that is kept back for a closing answer; nil when there is none.
local function limit_of(limit, kept)
  if limit == 'unlimited' then return nil end
  return tonumber(limit) - (kept and tonumber(kept) or 0)
end
