-- Redis TIME in milliseconds, read once a script: every process then agrees on deadlines.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
