-- Finds the first message that was published at a time or later.
--
-- KEYS     1 log   2 history
-- ARGV     1 messages that a channel keeps   2 time, ms
-- Returns  offset of the message; newest offset + 1 if there is none; 0 if there is no log
local max_messages, since = tonumber(ARGV[1]), tonumber(ARGV[2]) * 1000
local text = redis.call('GET', KEYS[1])
if not text then return 0 end
local top = offset_of(text)
local low, high = math.max(1, top - max_messages + 1), top + 1
while low < high do
  local middle = math.floor((low + high) / 2)
  local entry = redis.call('XRANGE', KEYS[2], whole(middle) .. '-0', '+', 'COUNT', 1)[1]
  if not entry then
    high = middle
  else
    local offset, later, count = offset_of(entry[2][2]), order_of(entry[2][2]) - since, count_of(entry[2][2])
    if later < 0 then
      low = offset + 1
    elseif later < count then
      return math.max(low, offset - later)
    else
      high = math.min(middle, offset - count + 1)
    end
  end
end
return low
