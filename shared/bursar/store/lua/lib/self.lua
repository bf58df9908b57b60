-- The session that a script is about, its log, and the root of its tree (itself, if it is one) with
-- the log of what happens below it. Every script that includes this has the same first four KEYS.
local session, events, tree, tree_log = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
