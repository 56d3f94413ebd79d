-- Reads a page of the notes.
--
-- KEYS     1 notes
-- ARGV     1 id after which to read
-- Returns  number of all notes, and the page as alternating ids and notes
local entries = {}
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', 500)) do
  entries[#entries + 1] = entry[1]
  entries[#entries + 1] = entry[2][2]
end
return { redis.call('XLEN', KEYS[1]), entries }
