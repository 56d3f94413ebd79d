-- The form of a channel's log in Redis. Put before the scripts of this folder.
--
-- A channel has three keys in one hash slot (packages/server/src/engine/redis/names/keys.ts):
--   log       string  `FACTS` of the newest entry, `REST`, ancestors
--   history   stream  entries. ID: `<offset of the last message>-0`; field `d`: `FACTS` of the entry, then its messages,
--                     each with its length before it
--   audience  hash    node -> how many of its streams have joined the channel
-- An entry is announced on the bus in the form that it has in the history.
--
-- Numbers are packed into eight bytes: writing one as text takes Lua half as long as Redis takes for a command.
-- packages/server/src/engine/redis/log/codec.ts reads and writes the same forms.
local pack, unstruct, sub = struct.pack, struct.unpack, string.sub

-- Facts of an entry:
--   epoch    eight characters; `-` for an announcement without history, `!` for one that only the log's state has changed
--   offset   offset of its last message; those of the others come before it without holes
--   lasting  newest message before this entry whose publisher chose no ttl
--   own      latest expiry (ms) among the messages before this entry whose publisher chose a ttl; 0 if there is none
--            `lasting` and `own` tell what is lost once everything before the entry is gone.
--   order    order of its last message: microseconds since 1970, made to rise; the others come before it without holes
--   expires  when its messages expire, ms; 0 for never; negative if the publisher chose the ttl
--   bytes    size of all entries of the log up to this one
--   count    number of its messages
local FACTS = '<c8ddddddH'
local FACTS_BYTES = 58

-- Rest of a log:
--   expires  when the history key expires, ms; 0 if that is not set yet, -1 for never
--   dropped  size of the entries that are known to be gone: a lower bound
--   run      run id of the server on which the newest entry was written
-- Ancestors follow, newest first, separated by commas: `epoch:offset`, or `epoch:offset!lost` if messages up to `lost` were
-- acknowledged and are missing.
local REST = '<dds'
local LOG = '<c8ddddddHdds'

-- Fields that are not in the key:
--   facts  facts of an entry that is newer than the key, else false
--   rest   true if `REST` and the ancestors in the key are up to date
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

-- A log that has changed without a new entry: its facts are those of an entry that changes neither `lasting` nor `own`.
local function pack_state(log)
  return pack(FACTS, log.epoch, log.offset, log.lasting, log.own, log.order, -1, log.bytes, 1) .. pack_rest(log)
end

-- These take an entry, its facts, or a log.
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

-- Size of all entries before this one.
local function bytes_before(entry)
  return unstruct('<d', entry, 49) - (#entry - FACTS_BYTES)
end

-- Facts of an announcement that is in no history.
local function bare_facts(mark, order, count)
  return pack(FACTS, mark .. '       ', 0, 0, 0, order, 0, 0, count)
end

local MAX_ANCESTORS = 8

-- Closes the current epoch at its newest message and begins another one. `lost_up_to` is the newest message that is known
-- to be missing, or false.
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

-- Returns the first entry from offset `from` on that has not expired; false if there is none.
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
