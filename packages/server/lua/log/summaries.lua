-- Facts for a list of channels.
--
-- KEYS  per channel: log, history
-- ARGV  1 messages that a channel keeps
-- Returns the time (ms), then per channel: its log ('' when it has none), the facts of its first entry ('' when there is none), and how many bytes that has
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
