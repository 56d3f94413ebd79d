-- Sends a letter to one node or to all.
--
-- KEYS     1 bus channel of the node or of all nodes; as a key, so that the call is sent to its slot
-- ARGV     1 `publish` or `spublish`   2 letter
-- Returns  number of subscribers that receive it
return redis.call(ARGV[1], KEYS[1], ARGV[2])
