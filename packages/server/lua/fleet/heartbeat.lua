-- Records a heartbeat of a node, and tells which other nodes are alive.
--
-- KEYS     1 nodes
-- ARGV     1 node   2 time for which a heartbeat makes a node count as alive, ms
--          3 time after which a silent node is forgotten, ms
-- Returns  time since the node's last heartbeat in ms (-1 if it was not known), the nodes that are alive, and those
--          that are silent; each list separated by blanks
local now = math.floor(now_us() / 1000)
local alive_since, known_since = whole(now - tonumber(ARGV[2])), whole(now - tonumber(ARGV[3]))
local before = redis.call('ZSCORE', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[1], whole(now), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. known_since)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {
  before and math.max(0, now - tonumber(before)) or -1,
  table.concat(redis.call('ZRANGEBYSCORE', KEYS[1], alive_since, '+inf'), ' '),
  table.concat(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. alive_since), ' '),
}
