-- Put before the scripts that write or read a channel's log.
--
-- A channel has three keys in one hash slot (packages/server/src/engine/redis/keys.ts):
--   log      string  `FACTS` of the newest entry, then `REST`, then the log's ancestors
--   history  stream  entries; the ID is `<offset>-0` of its last message, field d: `FACTS` of the entry, then its messages, each
--                    with its length before it
--   audience hash    node id -> how many of its streams have joined the channel
-- An entry is announced on the bus as it stands in the history.
--
-- Numbers are kept as eight bytes each: writing one as text takes Lua as long as half a command takes Redis.
-- codec.ts reads the same forms.
--
local pack, unstruct, sub = struct.pack, struct.unpack, string.sub

--   epoch    eight characters; `-`: not in a history; `!`: no messages, the log's state has changed
--   offset   of its last message; those of the others come before it without holes
--   lasting  newest message before this entry that has no ttl of its own
--   own      latest expiry (ms) among the messages before this entry that have a ttl of their own; 0: none
--            These two say what is lost when everything before the entry is gone.
--   order    of its last message, microseconds since 1970, made to rise; the others' come before it without holes
--   expires  of each of its messages, ms; 0: never; below 0 when the publisher chose the ttl
--   bytes    of all entries up to this one
--   count    of its messages
local FACTS = '<c8ddddddH'
local FACTS_BYTES = 58

--   expires  when the history key expires (ms); 0: not set yet, -1: never
--   dropped  bytes of the entries that are known to be gone: a lower bound
--   run      run id of the server that the newest entry was written on
-- Ancestors: `epoch:offset`, or `epoch:offset!lost` where entries up to `lost` were acknowledged and are missing; joined by
-- commas, newest first.
local REST = '<dds'
local LOG = '<c8ddddddHdds'

-- facts  of an entry that is newer than the key; else false
-- rest   whether `REST` and the ancestors stand in the key as they are
local function unpack_log(text)
  local epoch, offset, lasting, own, order, entry_expires, bytes, _, expires, dropped, run, at = unstruct(LOG, text)
  if entry_expires >= 0 then lasting = offset elseif -entry_expires > own then own = -entry_expires end
  return {
    epoch = epoch, offset = offset, lasting = lasting, own = own, order = order, bytes = bytes, expires = expires,
    dropped = dropped, run = run, ancestors = sub(text, at), facts = false, rest = true,
  }
end

local function pack_rest(log)
  return pack(REST, log.expires, log.dropped, log.run) .. log.ancestors
end

-- The facts of an entry that changes neither `lasting` nor `own`, for a log that has changed without a new one.
local function pack_state(log)
  return pack(FACTS, log.epoch, log.offset, log.lasting, log.own, log.order, -1, log.bytes, 1) .. pack_rest(log)
end

-- Of an entry, its facts, or a log.
local function offset_of(facts)
  return (unstruct('<d', facts, 9))
end

local function order_of(facts)
  return (unstruct('<d', facts, 33))
end

local function expiry_of(facts)
  return math.abs((unstruct('<d', facts, 41)))
end

local function count_of(entry)
  return (unstruct('<H', entry, 57))
end

-- Bytes of all entries before this one.
local function bytes_before(entry)
  return unstruct('<d', entry, 49) - (#entry - FACTS_BYTES)
end

-- On the bus, of what has no place in a history.
local function bare_facts(mark, order, count)
  return pack(FACTS, mark .. '       ', 0, 0, 0, order, 0, 0, count)
end

local MAX_ANCESTORS = 8

-- Closes the current epoch at its newest entry and begins another one. `lost_up_to`: the newest entry that is known to be missing, or false.
local function succeed(log, epoch, run, lost_up_to)
  local ancestors = { log.epoch .. ':' .. whole(log.offset) .. (lost_up_to and '!' .. whole(lost_up_to) or '') }
  for ancestor in string.gmatch(log.ancestors, '[^,]+') do
    if #ancestors < MAX_ANCESTORS then ancestors[#ancestors + 1] = ancestor end
  end
  log.ancestors = table.concat(ancestors, ',')
  log.epoch = epoch
  log.run = run
  log.rest = false
end

-- The first entry from offset `from` on that has not expired; false when there is none.
local function first_entry(history, from, now)
  local count = 1
  while true do
    local entries = call('XRANGE', history, whole(from) .. '-0', '+', 'COUNT', count)
    for _, entry in ipairs(entries) do
      local expires = expiry_of(entry[2][2])
      if expires == 0 or expires > now then return entry[2][2] end
    end
    if #entries < count then return false end
    from = offset_of(entries[#entries][2][2]) + 1
    count = math.min(count * 4, 256)
  end
end
