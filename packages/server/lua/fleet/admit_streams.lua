-- Notes how many streams a node has of users, and admits more of them while all nodes together have fewer than may be.
--
-- KEYS  per user: its hash, node -> streams
-- ARGV  1 node   2 most streams of a user   3 ms that a hash is kept   4 nodes that are dead, joined by blanks
--       then per user: streams that the node has, streams that it asks for
-- Returns per user how many of those it asks for it may have, and when that is fewer the other nodes that were counted, joined by blanks
local node, limit, ttl = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local is_dead = {}
for id in string.gmatch(ARGV[4], '%S+') do is_dead[id] = true end
local results = {}
for k, key in ipairs(KEYS) do
  local held, wanted = tonumber(ARGV[2 * k + 3]), tonumber(ARGV[2 * k + 4])
  local elsewhere, counted = 0, {}
  if wanted > 0 then
    local fields = redis.call('HGETALL', key)
    for i = 1, #fields, 2 do
      local id = fields[i]
      if is_dead[id] then
        redis.call('HDEL', key, id)
      elseif id ~= node then
        elsewhere = elsewhere + tonumber(fields[i + 1])
        counted[#counted + 1] = id
      end
    end
  end
  local granted = math.max(0, math.min(wanted, limit - elsewhere - held))
  if held + granted == 0 then
    redis.call('HDEL', key, node)
  else
    redis.call('HSET', key, node, held + granted)
    redis.call('PEXPIRE', key, ttl)
  end
  results[#results + 1] = granted
  results[#results + 1] = granted < wanted and table.concat(counted, ' ') or ''
end
return results
