-- Takes from a rate limit, as packages/server/src/access/limits/rate-window.ts does: a window begins with the first
-- request and expires by itself, and a refused request is not counted.
--
-- KEYS     1 part of the limit that is used in the current window
-- ARGV     1 limit   2 length of a window, ms   3 cost of the request
-- Returns  1 if the request is allowed, else 0; what is left of the limit; time until the window ends, ms
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
