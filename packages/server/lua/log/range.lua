-- Reads a range of one channel's history, for people and tools.
--
-- KEYS     1 log   2 history
-- ARGV     1 messages that a channel keeps   2 first offset   3 last offset   4 limit of messages   5 limit of bytes
--          6 `1` for newest first
-- Returns  time in ms, the log ('' if there is none), facts of the history's first entry ('' if there is none), list of
--          entries; the first and the last may hold messages that were not asked for
local max_messages, from, to = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local limit, max_bytes, is_reverse = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6] == '1'
local now = math.floor(now_us() / 1000)
local text = redis.call('GET', KEYS[1])
if not text then return { whole(now), '', '', {} } end
local top = offset_of(text)
local lowest = math.max(1, top - max_messages + 1)
from, to = math.max(from, lowest), math.min(to, top)
local list, bytes, count = {}, 0, 0
local history = KEYS[2]
local next_id, last_id, command = whole(from) .. '-0', '+', 'XRANGE'
if is_reverse then
  local last = redis.call('XRANGE', history, whole(to) .. '-0', '+', 'COUNT', 1)[1]
  next_id, last_id, command = last and last[1] or '+', next_id, 'XREVRANGE'
end
while from <= to and count < limit and bytes < max_bytes do
  local most = math.min(32, limit - count)
  local entries = redis.call(command, history, next_id, last_id, 'COUNT', most)
  for _, entry in ipairs(entries) do
    local expires = expiry_of(entry[2][2])
    local last = offset_of(entry[2][2])
    local first = last - count_of(entry[2][2]) + 1
    if count >= limit or bytes >= max_bytes then break end
    if first > to then
      from = first
      break
    end
    if expires == 0 or expires > now then
      list[#list + 1] = entry[2][2]
      bytes = bytes + #entry[2][2] - FACTS_BYTES
      count = count + math.min(last, to) - math.max(first, from) + 1
    end
    if is_reverse then to = first - 1 else from = last + 1 end
  end
  if #entries < most then break end
  next_id = is_reverse and whole(to) .. '-0' or whole(from) .. '-0'
end
local head = first_entry(KEYS[2], lowest, now)
return { whole(now), text, head and sub(head, 1, FACTS_BYTES) or '', list }
