-- Claims ids for messages: an id belongs to the first message that comes with it, whatever its channels. Used in a
-- cluster only.
--
-- KEYS     for each id: its claim
-- ARGV     1 TTL of a claim, ms   then for each id: fingerprint of its message
-- Returns  for each id: 1 if it belongs to this message, 0 if it belongs to another one
local results = {}
for k, key in ipairs(KEYS) do
  local known = redis.call('GET', key)
  if not known then redis.call('SET', key, ARGV[k + 1], 'PX', ARGV[1]) end
  results[k] = (not known or known == ARGV[k + 1]) and 1 or 0
end
return results
