-- Reads the newest positions of watched logs, and keeps a log's state from expiring although nobody publishes to it.
--
-- KEYS     for each channel: log
-- ARGV     1 time for which a log's state is kept, ms
-- Returns  for each channel: `epoch offset`; '' if it has no log
local retention = tonumber(ARGV[1])
local results = {}
for k, key in ipairs(KEYS) do
  local text = redis.call('GET', key)
  results[k] = text and sub(text, 1, 8) .. ' ' .. whole(offset_of(text)) or ''
  local left = text and redis.call('PTTL', key) or -1
  if left >= 0 and left < retention / 2 then redis.call('PEXPIRE', key, retention) end
end
return results
