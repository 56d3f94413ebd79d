-- Appends notes for all nodes, and removes those that are too old.
--
-- KEYS     1 notes
-- ARGV     1 TTL of a note, ms   then the notes
-- Returns  1
local oldest = whole(math.floor(now_us() / 1000) - tonumber(ARGV[1]))
for i = 2, #ARGV do
  redis.call('XADD', KEYS[1], 'MINID', '~', oldest, '*', 'n', ARGV[i])
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
