-- Facts for a list of channels.
--
-- KEYS  per channel: log, history
-- ARGV  1 entries that a channel keeps
-- Returns the time (ms), then per channel: the log's line ('' when it has none), the facts of its first entry, how many bytes that has, and how
-- many entries there are
local max_entries = tonumber(ARGV[1])
local now = math.floor(now_us() / 1000)
local results = { whole(now) }
for k = 1, #KEYS, 2 do
  local text = redis.call('GET', KEYS[k])
  local facts, size, count = false, 0, 0
  if text then
    local offset = tonumber(string.match(text, '^%S+ (%d+)'))
    facts = first_facts(KEYS[k + 1], math.max(1, offset - max_entries + 1), now)
    if facts then
      local first = string.match(facts, '^(%d+)')
      size = #redis.call('XRANGE', KEYS[k + 1], first .. '-0', '+', 'COUNT', 1)[1][2][4]
      count = math.min(redis.call('XLEN', KEYS[k + 1]), offset - tonumber(first) + 1)
    end
  end
  results[#results + 1] = text or ''
  results[#results + 1] = facts or ''
  results[#results + 1] = size
  results[#results + 1] = count
end
return results
