-- Where logs stand. What is watched is not forgotten: the state of a log that nobody has published to for long is kept on.
--
-- KEYS  per channel: its log
-- ARGV  1 ms that a log's state is kept
-- Returns per channel `epoch offset`; '' when it has no log
local retention = tonumber(ARGV[1])
local results = {}
for k, key in ipairs(KEYS) do
  local text = redis.call('GET', key)
  results[k] = text and sub(text, 1, 8) .. ' ' .. whole(offset_of(text)) or ''
  local left = text and redis.call('PTTL', key) or -1
  if left >= 0 and left < retention / 2 then redis.call('PEXPIRE', key, retention) end
end
return results
