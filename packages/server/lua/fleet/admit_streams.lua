-- Writes how many streams of each user a node has, and admits more while all nodes together are below the limit.
--
-- KEYS     for each user: hash of node -> streams
-- ARGV     1 node   2 limit of streams of a user   3 TTL of a hash, ms   4 dead nodes, separated by blanks
--          then for each user: streams that the node has, streams that it asks for
-- Returns  for each user: how many streams are admitted; if fewer than asked for, the other nodes that were counted,
--          separated by blanks, else ''
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
