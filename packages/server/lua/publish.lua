-- Publishes messages: per message the check of its id, an offset in each of its channels, the entry, its expiry, and
-- the announcement; all or nothing.
--
-- KEYS  per message: its receipt (only where it has a fingerprint), then per channel with history: log, history, audience
-- ARGV  1 run id of this server, as the node believes: another one than the log's closes the log's epoch
--       2 deadline, microseconds since 1970 on this server's clock: nothing is done later (0: none)
--       3 epoch of logs that begin a new life
--       4 entries that a channel keeps   5 bytes that a channel keeps
--       6 ms that a log's state is kept after its history   7 ms that a receipt is kept
--       8 `publish` or `spublish`
--       9 1: a repeat is written again, so that WAIT waits for what it repeats
--      then per message: message, ttl in ms (0: none), 1 when its publisher chose the ttl, fingerprint or '',
--      time in ms (of the receipt), number of channels with history, number without, and the bus channels of these in the order of
--      the keys
-- Returns two strings per message:
--      `+ epoch offset …` for each channel: stored;  `= time epoch offset …`: stored before;  `!`: its id was used for another message
--      `node count …` for each channel, joined by `|`: the streams that had joined it
-- Errors: LATE when the deadline has passed
local run, deadline, new_epoch = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local max_entries, max_bytes = ARGV[4], tonumber(ARGV[5])
local retention, receipt_ttl = tonumber(ARGV[6]), ARGV[7]
local publish, renews = ARGV[8], ARGV[9] == '1'

local start_us = now_us()
if deadline > 0 and start_us > deadline then return redis.error_reply('LATE the deadline has passed') end
local now = math.floor(start_us / 1000)

local logs, touched = {}, {}

local function load(key, history)
  local log = logs[key]
  if log then return log end
  local text = redis.call('GET', key)
  if text then
    log = unpack_log(text)
    if log.run ~= run then succeed(log, new_epoch, run, false) end
  else
    -- What may be left of a history whose log is lost has offsets that nobody can vouch for. It is looked for first: once a
    -- script has written anything, a server that is out of memory lets it write the rest.
    if redis.call('EXISTS', history) == 1 then redis.call('UNLINK', history) end
    log = {
      epoch = new_epoch, offset = 0, order = 0, run = run, lasting = 0, own = 0, expires = 0, bytes = 0, dropped = 0,
      ancestors = '-',
    }
  end
  logs[key] = log
  return log
end

local function drop_expired(history)
  while true do
    local entries = redis.call('XRANGE', history, '-', '+', 'COUNT', 16)
    if #entries == 0 then return end
    local keep
    for _, entry in ipairs(entries) do
      local expires = expiry_of(entry[2][2])
      if expires == 0 or expires > now then
        keep = entry[1]
        break
      end
    end
    if keep == entries[1][1] then return end
    redis.call('XTRIM', history, 'MINID', keep or (offset_of(entries[#entries][1]) + 1) .. '-0')
    if keep then return end
  end
end

-- Down to seven eighths, so that a full channel does not search at every publish.
local function drop_bytes(history, log)
  local head = redis.call('XRANGE', history, '-', '+', 'COUNT', 1)[1]
  if not head then return end
  log.dropped = bytes_up_to(head[2][2]) - #head[2][4]
  if log.bytes - log.dropped <= max_bytes then return end
  local target = log.bytes - max_bytes * 7 / 8
  local low, high = offset_of(head[1]), log.offset
  while low < high do
    local middle = math.floor((low + high) / 2)
    local entry = redis.call('XRANGE', history, middle .. '-0', '+', 'COUNT', 1)[1]
    if bytes_up_to(entry[2][2]) - #entry[2][4] >= target then high = middle else low = middle + 1 end
  end
  redis.call('XTRIM', history, 'MINID', low .. '-0')
end

local function append(history, log, order, message, ttl, is_own)
  local expires = ttl > 0 and now + ttl or 0
  log.offset = log.offset + 1
  log.bytes = log.bytes + #message
  local offset = whole(log.offset)
  local facts = offset .. ' ' .. whole(log.lasting) .. ' ' .. whole(log.own) .. ' ' .. order .. ' ' .. whole(expires)
    .. (is_own and '* ' or ' ') .. whole(log.bytes)
  local id = offset .. '-0'
  local added = redis.call('XADD', history, 'NOMKSTREAM', 'MAXLEN', '~', max_entries, id, 's', facts, 'd', message)
  if not added then
    redis.call('XADD', history, id, 's', facts, 'd', message)
    log.expires = 0
    log.is_renewed = true
    log.dropped = log.bytes - #message
  end
  if is_own then log.own = math.max(log.own, expires) else log.lasting = log.offset end
  if expires == 0 then
    if log.expires > 0 then redis.call('PERSIST', history) end
    log.expires = -1
  elseif log.expires >= 0 and expires > log.expires then
    -- A little later than needed, so that it is not set again with every message.
    log.expires = expires + math.min(60000, math.floor(ttl / 4))
    log.is_renewed = true
    redis.call('PEXPIREAT', history, log.expires)
  end
  if log.offset % 32 == 0 then drop_expired(history) end
  if log.bytes - log.dropped > max_bytes then drop_bytes(history, log) end
end

-- Publications on one bus channel that follow each other go in one announcement.
local bus, parts
local listeners = {}
local function announce()
  if bus then listeners[bus] = redis.call(publish, bus, table.concat(parts)) end
  bus = nil
end
local function tell(channel, head, message)
  if channel ~= bus then
    announce()
    bus, parts = channel, {}
  end
  parts[#parts + 1] = head
  parts[#parts + 1] = message
end

-- Where nobody listens no stream has joined.
local audiences = {}
local function audience_of(key, channel)
  if listeners[channel] == 0 then return '' end
  local audience = audiences[key]
  if not audience then
    audience = table.concat(redis.call('HGETALL', key), ' ')
    audiences[key] = audience
  end
  return audience
end

local argc = #ARGV
local results, items = {}, {}
local k, a, number = 0, 9, 0
while a < argc do
  local message, ttl, is_own, fingerprint, time = ARGV[a + 1], tonumber(ARGV[a + 2]), ARGV[a + 3] == '1', ARGV[a + 4], ARGV[a + 5]
  local with_history, without = tonumber(ARGV[a + 6]), tonumber(ARGV[a + 7])
  a = a + 7
  local receipt
  if fingerprint ~= '' then
    k = k + 1
    receipt = KEYS[k]
  end
  local order = start_us + number
  local places = ''
  for i = 0, with_history - 1 do
    local log = load(KEYS[k + 3 * i + 1], KEYS[k + 3 * i + 2])
    if log.order >= order then order = log.order + 1 end
    places = places .. ' ' .. log.epoch .. ' ' .. whole(log.offset + 1)
  end
  local outcome
  if not receipt or redis.call('SET', receipt, fingerprint .. ' ' .. time .. places, 'PX', receipt_ttl, 'NX') then
    outcome = '+' .. places
    local order_text = whole(order)
    local tail = ' ' .. order_text .. ' ' .. whole(#message) .. '\n'
    for i = 0, with_history - 1 do
      local key = KEYS[k + 3 * i + 1]
      local log = logs[key]
      append(KEYS[k + 3 * i + 2], log, order_text, message, ttl, is_own)
      log.order = order
      if not log.is_touched then
        log.is_touched = true
        touched[#touched + 1] = key
      end
      tell(ARGV[a + i + 1], log.epoch .. ' ' .. whole(log.offset) .. tail, message)
    end
    for i = with_history, with_history + without - 1 do tell(ARGV[a + i + 1], '- 0' .. tail, message) end
  else
    local known = redis.call('GET', receipt)
    local first, rest = string.match(known, '^(%S+) (.*)$')
    if first == fingerprint then
      outcome = '= ' .. rest
      if renews then redis.call('SET', receipt, known, 'KEEPTTL') end
    else
      outcome = '!'
    end
  end
  results[#results + 1] = outcome
  results[#results + 1] = ''
  items[#items + 1] = { k, a, with_history }
  k = k + 3 * with_history
  a = a + with_history + without
  number = number + 1
end
for _, key in ipairs(touched) do
  local log = logs[key]
  if log.expires < 0 then
    redis.call('SET', key, pack_log(log))
  elseif log.is_renewed then
    redis.call('SET', key, pack_log(log), 'PX', math.max(log.expires - now, 0) + retention)
  else
    redis.call('SET', key, pack_log(log), 'KEEPTTL')
  end
end
announce()
for i, item in ipairs(items) do
  local first_key, first_bus, count = item[1], item[2], item[3]
  local streams = ''
  for j = 0, count - 1 do
    if j > 0 then streams = streams .. '|' end
    streams = streams .. audience_of(KEYS[first_key + 3 * j + 3], ARGV[first_bus + j + 1])
  end
  results[2 * i] = streams
end
return results
