-- Reads the states of logs.
--
-- KEYS     for each channel: log, history
-- ARGV     1 messages that a channel keeps
-- Returns  time in ms, then for each channel: its log ('' if it has none), facts of the history's first entry ('' if
--          there is none)
local max_messages = tonumber(ARGV[1])
local now = math.floor(now_us() / 1000)
local results = { whole(now) }
for k = 1, #KEYS, 2 do
  local text = redis.call('GET', KEYS[k])
  results[#results + 1] = text or ''
  if text then
    local offset = offset_of(text)
    local entry = first_entry(KEYS[k + 1], math.max(1, offset - max_messages + 1), now)
    results[#results + 1] = entry and sub(entry, 1, FACTS_BYTES) or ''
  else
    results[#results + 1] = ''
  end
end
return results
