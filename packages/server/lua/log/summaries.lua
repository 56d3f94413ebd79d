-- Reads what a list of channels shows.
--
-- KEYS     for each channel: log, history
-- ARGV     1 messages that a channel keeps
-- Returns  time in ms, then for each channel: its log ('' if it has none), facts of the history's first entry ('' if
--          there is none), size of that entry's messages
local max_messages = tonumber(ARGV[1])
local now = math.floor(now_us() / 1000)
local results = { whole(now) }
for k = 1, #KEYS, 2 do
  local text = redis.call('GET', KEYS[k])
  local facts, size = '', 0
  if text then
    local offset = offset_of(text)
    local first = first_entry(KEYS[k + 1], math.max(1, offset - max_messages + 1), now)
    if first then
      facts, size = sub(first, 1, FACTS_BYTES), #first - FACTS_BYTES
    end
  end
  results[#results + 1] = text or ''
  results[#results + 1] = facts
  results[#results + 1] = size
end
return results
