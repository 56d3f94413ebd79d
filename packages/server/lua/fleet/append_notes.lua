-- Keeps notes for all nodes, and forgets those that have had their time.
--
-- KEYS  notes
-- ARGV  1 ms that a note is kept, then the notes
local oldest = whole(math.floor(now_us() / 1000) - tonumber(ARGV[1]))
for i = 2, #ARGV do
  redis.call('XADD', KEYS[1], 'MINID', '~', oldest, '*', 'n', ARGV[i])
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
