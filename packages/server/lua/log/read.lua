-- Reads what follows an offset, on several channels.
--
-- KEYS     for each channel: log, history
-- ARGV     1 messages that a channel keeps   2 limit of bytes for each channel; one entry is returned in any case
--          then for each channel: offset
-- Returns  time in ms, then for each channel: its log ('' if it has none), list of entries
local max_messages, max_bytes = tonumber(ARGV[1]), tonumber(ARGV[2])
local results = { whole(math.floor(now_us() / 1000)) }
for k = 1, #KEYS, 2 do
  local text = redis.call('GET', KEYS[k])
  local list = {}
  if text then
    local top = offset_of(text)
    local from = math.max(tonumber(ARGV[2 + (k + 1) / 2]), top - max_messages) + 1
    local bytes, count = 0, 4
    while from <= top and bytes < max_bytes do
      local entries = redis.call('XRANGE', KEYS[k + 1], whole(from) .. '-0', '+', 'COUNT', count)
      for _, entry in ipairs(entries) do
        if bytes >= max_bytes and #list > 0 then break end
        list[#list + 1] = entry[2][2]
        bytes = bytes + #entry[2][2] - FACTS_BYTES
      end
      if #entries < count then break end
      from = offset_of(entries[#entries][2][2]) + 1
      count = math.min(count * 2, 256)
    end
  end
  results[#results + 1] = text or ''
  results[#results + 1] = list
end
return results
