-- Removes a node that stops.
--
-- KEYS     1 nodes
-- ARGV     1 node
-- Returns  1, or 0 if the node was not known
return redis.call('ZREM', KEYS[1], ARGV[1])
