-- Writes how many streams of a node have joined channels.
--
-- KEYS     for each channel: audience
-- ARGV     1 node   2 TTL of an audience, ms   then for each channel: number of streams
-- Returns  1
for k, key in ipairs(KEYS) do
  if ARGV[k + 2] == '0' then
    redis.call('HDEL', key, ARGV[1])
  else
    redis.call('HSET', key, ARGV[1], ARGV[k + 2])
    redis.call('PEXPIRE', key, ARGV[2])
  end
end
return 1
