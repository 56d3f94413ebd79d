-- A node says that it is alive, and sees who else is.
--
-- KEYS  nodes
-- ARGV  1 node   2 ms for which a beat makes a node count as alive   3 ms after which a silent node is forgotten
-- Returns the ms since this node's beat before (-1: it was not known), the nodes that are alive and those that are silent, each joined by blanks
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
