-- In a cluster: makes ids belong to the first message that comes with them, whatever its channels.
--
-- KEYS  per id: its claim
-- ARGV  1 ms that a claim is kept, then per id: the fingerprint of its message
-- Returns per id 1: it is this message's; 0: it is another one's
local results = {}
for k, key in ipairs(KEYS) do
  local known = redis.call('GET', key)
  if not known then redis.call('SET', key, ARGV[k + 1], 'PX', ARGV[1]) end
  results[k] = (not known or known == ARGV[k + 1]) and 1 or 0
end
return results
