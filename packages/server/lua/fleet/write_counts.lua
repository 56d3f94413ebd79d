-- Notes how many streams of a node have joined channels.
--
-- KEYS  per channel: audience
-- ARGV  1 node   2 ms that an audience is kept, then per channel: streams
for k, key in ipairs(KEYS) do
  if ARGV[k + 2] == '0' then
    redis.call('HDEL', key, ARGV[1])
  else
    redis.call('HSET', key, ARGV[1], ARGV[k + 2])
    redis.call('PEXPIRE', key, ARGV[2])
  end
end
return 1
