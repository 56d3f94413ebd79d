-- Put before the scripts that write or read a channel's log.
--
-- A channel has three keys in one hash slot (packages/server/src/engine/redis/keys.ts):
--   log      string  the state of the log, in one line; see `unpack_log`
--   history  stream  entries; the ID is `<offset>-0`, field s: facts of the entry (see `facts`), field d: the message
--   audience hash    node id -> how many of its streams have joined the channel
--
-- The clock of expiry and order is this server's, so that nodes need not agree on the time.

-- A number as text. Lua would write large ones with an exponent; and writing a number costs more than anything else that a
-- script does, so each is written once.
local texts = {}
local function whole(n)
  local text = texts[n]
  if not text then
    text = string.format('%.0f', n)
    texts[n] = text
  end
  return text
end

-- epoch    the log's current life
-- offset   of its newest entry
-- order    of its newest entry: microseconds since 1970, made to rise
-- run      run id of the server that the newest entry was written on
-- lasting  newest entry without a ttl of its own
-- own      latest expiry (ms) among the entries that have a ttl of their own; 0: none
-- expires  when the history key expires (ms); 0: not set yet, -1: never
-- bytes    of all entries ever
-- dropped  of the entries that are known to be gone: a lower bound
-- ancestors  `epoch:offset`, or `epoch:offset!lost` where entries up to `lost` were acknowledged and are missing; joined by
--            commas, newest first; `-`: none
local function unpack_log(text)
  local epoch, offset, order, run, lasting, own, expires, bytes, dropped, ancestors =
    string.match(text, '^(%S+) (%d+) (%d+) (%S+) (%d+) (%d+) (%-?%d+) (%d+) (%d+) (%S+)$')
  return {
    epoch = epoch, offset = tonumber(offset), order = tonumber(order), run = run, lasting = tonumber(lasting),
    own = tonumber(own), expires = tonumber(expires), bytes = tonumber(bytes), dropped = tonumber(dropped),
    ancestors = ancestors,
  }
end

local function pack_log(log)
  return table.concat({
    log.epoch, whole(log.offset), whole(log.order), log.run, whole(log.lasting), whole(log.own), whole(log.expires), whole(log.bytes),
    whole(log.dropped), log.ancestors,
  }, ' ')
end

local MAX_ANCESTORS = 8

-- Closes the current epoch at its newest entry and begins another one. `lost_up_to`: the newest entry that is known to be missing, or false.
local function succeed(log, epoch, run, lost_up_to)
  local ancestors = { log.epoch .. ':' .. whole(log.offset) .. (lost_up_to and '!' .. whole(lost_up_to) or '') }
  for ancestor in string.gmatch(log.ancestors, '[^,]+') do
    if ancestor ~= '-' and #ancestors < MAX_ANCESTORS then ancestors[#ancestors + 1] = ancestor end
  end
  log.ancestors = table.concat(ancestors, ',')
  log.epoch = epoch
  log.run = run
end

-- Facts of an entry: `offset lasting own order expires bytes`
--   lasting, own   of the log before this entry: what is lost when everything before it is gone
--   expires        ms; 0: never; with a `*` behind it when the publisher chose the ttl
--   bytes          of all entries up to this one
local function expiry_of(facts)
  return tonumber(string.match(facts, '^%d+ %d+ %d+ %d+ (%d+)'))
end

local function bytes_up_to(facts)
  return tonumber(string.match(facts, '(%d+)$'))
end

local function offset_of(id)
  return tonumber(string.match(id, '^(%d+)'))
end

local function now_us()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

-- The facts of the first entry from offset `from` on that has not expired; false when there is none.
local function first_facts(history, from, now)
  local count = 1
  while true do
    local entries = redis.call('XRANGE', history, from .. '-0', '+', 'COUNT', count)
    for _, entry in ipairs(entries) do
      local expires = expiry_of(entry[2][2])
      if expires == 0 or expires > now then return entry[2][2] end
    end
    if #entries < count then return false end
    from = offset_of(entries[#entries][1]) + 1
    count = math.min(count * 4, 256)
  end
end
