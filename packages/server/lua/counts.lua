-- Notes how many streams of a node have joined channels.
--
-- KEYS  per channel: audience
-- ARGV  1 node   2 ms that an audience is kept, then per channel: streams
local node, kept = ARGV[1], ARGV[2]
for k, key in ipairs(KEYS) do
  local words = {}
  for id, count in string.gmatch(redis.call('GET', key) or '', '(%S+) (%S+)') do
    if id ~= node then words[#words + 1] = id .. ' ' .. count end
  end
  if ARGV[k + 2] ~= '0' then words[#words + 1] = node .. ' ' .. ARGV[k + 2] end
  if #words == 0 then
    redis.call('DEL', key)
  elseif ARGV[k + 2] == '0' then
    redis.call('SET', key, table.concat(words, ' '), 'KEEPTTL')
  else
    redis.call('SET', key, table.concat(words, ' '), 'PX', kept)
  end
end
return 1
