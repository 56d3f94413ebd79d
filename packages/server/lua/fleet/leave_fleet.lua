-- A node that stops is no longer alive.
--
-- KEYS  nodes
-- ARGV  1 node
return redis.call('ZREM', KEYS[1], ARGV[1])
