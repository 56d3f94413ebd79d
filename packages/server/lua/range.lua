-- One channel's history for people and tools.
--
-- KEYS  log, history
-- ARGV  1 entries that a channel keeps   2 first offset   3 last offset   4 most entries   5 most bytes   6 1: newest first
-- Returns the time (ms), the log ('' when there is none), the facts of its first entry ('' when there is none) and a list of entries
local max_entries, from, to = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local limit, max_bytes, is_reverse = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6] == '1'
local now = math.floor(now_us() / 1000)
local text = redis.call('GET', KEYS[1])
if not text then return { whole(now), '', '', {} } end
local top = offset_of(text)
local lowest = math.max(1, top - max_entries + 1)
from, to = math.max(from, lowest), math.min(to, top)
local list, bytes, count = {}, 0, 0
while from <= to and count < limit and bytes < max_bytes do
  local entries
  if is_reverse then
    entries = redis.call('XREVRANGE', KEYS[2], whole(to) .. '-0', whole(from) .. '-0', 'COUNT', 32)
  else
    entries = redis.call('XRANGE', KEYS[2], whole(from) .. '-0', whole(to) .. '-0', 'COUNT', 32)
  end
  for _, entry in ipairs(entries) do
    local expires = expiry_of(entry[2][2])
    if count >= limit or bytes >= max_bytes then break end
    if expires == 0 or expires > now then
      list[#list + 1] = entry[2][2]
      bytes = bytes + #entry[2][2] - FACTS_BYTES
      count = count + 1
    end
  end
  if #entries < 32 then break end
  local last = offset_of(entries[#entries][2][2])
  if is_reverse then to = last - 1 else from = last + 1 end
end
local head = first_entry(KEYS[2], lowest, now)
return { whole(now), text, head and sub(head, 1, FACTS_BYTES) or '', list }
