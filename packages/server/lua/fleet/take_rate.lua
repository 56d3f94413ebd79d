-- Takes from a limit, by the arithmetic of packages/server/src/access/limits/rate-window.ts: a window begins with the first request and ends by itself, and what is refused is not counted.
--
-- KEYS  what is used of the limit in its window
-- ARGV  1 limit   2 ms of a window   3 cost
-- Returns 1 when it is allowed, what is left, and the ms until the window ends
local limit, window, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local left = redis.call('PTTL', KEYS[1])
local is_open = left > 0 and left <= window
local used = is_open and tonumber(redis.call('GET', KEYS[1])) or 0
if used + cost > limit then return { 0, limit - used, is_open and left or window } end
if is_open then
  redis.call('INCRBY', KEYS[1], cost)
else
  redis.call('SET', KEYS[1], cost, 'PX', window)
  left = window
end
return { 1, limit - used - cost, left }
