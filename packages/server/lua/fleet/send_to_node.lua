-- Says something to a node or to all.
--
-- KEYS  bus channel, so that the call goes to its slot
-- ARGV  1 `publish` or `spublish`   2 what is said
-- Returns how many listen
return redis.call(ARGV[1], KEYS[1], ARGV[2])
