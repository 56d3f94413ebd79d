-- Reads a page of the notes.
--
-- KEYS  notes
-- ARGV  1 id after which to read
-- Returns how many there are, and of the page id and note by turns
local entries = {}
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', 500)) do
  entries[#entries + 1] = entry[1]
  entries[#entries + 1] = entry[2][2]
end
return { redis.call('XLEN', KEYS[1]), entries }
