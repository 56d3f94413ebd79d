-- Publishes messages: checks each id, gives out offsets, appends entries with their expiry, and announces them; all or
-- nothing.
--
-- KEYS     receipts: a key for each id, or four windows of time; then the logs of all channels with history, then their
--          histories, then their audiences
-- ARGV     1 run id of this server, as the node knows it; if the log's differs, the log begins a new epoch
--          2 deadline in microseconds since 1970 on this server's clock, after which nothing is done; 0 for none
--          3 name for new epochs
--          4 messages that a channel keeps   5 bytes that a channel keeps
--          6 time for which a log's state outlives its history, ms   7 TTL of a receipt, ms
--          8 `publish` or `spublish`
--          9 `1` to write repeats again, so that WAIT covers what they repeat
--          10 number of ids   11 length of a window of receipts in ms, 0 for a key each   12 number of the first window
--          13 number of channels with history
--          14 number of bus channels: one for each of these, named like its log, then those without history
--          then: names of the bus channels without history
--          one string with, for each message: `META`, numbers of its further bus channels, fingerprint
--          one string with the messages, each with its length before it
--          with windows of receipts: the ids, in the order of the messages
-- Returns  for each message: its offset, or a list of offsets unless it has exactly one channel with history;
--          `= time epoch offset …` if it was stored before; `!` if its id was used for another message
--          then for each channel with history: epoch, `node count …` of the streams that had joined it
-- Errors   LATE if the deadline has passed, or if the node's idea of this server's time is too far off
local run, deadline, new_epoch = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local max_messages, max_bytes = tonumber(ARGV[4]), tonumber(ARGV[5])
local retention, receipt_ttl = tonumber(ARGV[6]), tonumber(ARGV[7])
local publish, renews = ARGV[8], ARGV[9] == '1'
local id_count, window_ms, first_window = tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
local channel_count, bus_count = tonumber(ARGV[13]), tonumber(ARGV[14])

-- Without a cluster, receipts are in hashes, one for each window of time. A window is at least as long as a receipt is
-- kept, so a receipt is in the current window or in the one before, or in the next one if the clock has gone back. The
-- window before these is outdated and freed as a whole. The node expects the third of four windows to be the current one.
local WINDOWS = 4
-- A window is kept for this long after it is needed, so that the next but one frees it, in another thread, before it
-- expires. It is also how far a clock may go back.
local WINDOW_SLACK_MS = 60000

local log_keys = window_ms > 0 and WINDOWS or id_count
local histories, audiences = log_keys + channel_count, log_keys + 2 * channel_count
local metas, messages = ARGV[15 - channel_count + bus_count], ARGV[16 - channel_count + bus_count]
local ids_at = 16 - channel_count + bus_count

-- ttl in ms (0 for none), time in ms (for the receipt), 1 if its publisher chose the ttl, number of channels with history,
-- number of all bus channels, 1 if it has an id and a fingerprint, size of the message, number of its first bus channel
local META = '<ddBHHBI4H'
local FINGERPRINT_BYTES = 16

local start_us = now_us()
if deadline > 0 and start_us > deadline then return redis.error_reply('LATE the deadline has passed') end
local now = math.floor(start_us / 1000)

-- Lua's stack bounds the number of values of one call.
local MOST_KEYS = 4000
local texts = {}
for first = 1, channel_count, MOST_KEYS do
  local some = call('MGET', unpack(KEYS, log_keys + first, log_keys + math.min(first + MOST_KEYS - 1, channel_count)))
  for i = 1, #some do texts[first + i - 1] = some[i] end
end

local logs = {}
local function load(c)
  local text = texts[c]
  local log
  if text then
    log = unpack_log(text)
    if log.run ~= run then succeed(log, new_epoch, run, false) end
  else
    -- If the log was evicted, offsets of a history that is left cannot be trusted. EXISTS comes first: UNLINK would count as
    -- the script's first write, after which a server that is out of memory lets it write the rest.
    local history = KEYS[histories + c]
    if call('EXISTS', history) == 1 then call('UNLINK', history) end
    log = {
      epoch = new_epoch, offset = 0, order = 0, run = run, lasting = 0, own = 0, expires = 0, bytes = 0, dropped = 0,
      ancestors = '', facts = false, rest = false, is_renewed = true,
    }
  end
  logs[c] = log
  return log
end

local function drop_expired(history)
  local count = 1
  while true do
    local entries = call('XRANGE', history, '-', '+', 'COUNT', count)
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
    call('XTRIM', history, 'MINID', keep or whole(offset_of(entries[#entries][2][2]) + 1) .. '-0')
    if keep then return end
    count = 16
  end
end

-- Trims to seven eighths, so that a full channel does not search at every publish.
local function drop_bytes(history, log)
  local head = call('XRANGE', history, '-', '+', 'COUNT', 1)[1]
  if not head then return end
  log.dropped = bytes_before(head[2][2])
  log.rest = false
  if log.bytes - log.dropped <= max_bytes then return end
  local target = log.bytes - max_bytes * 7 / 8
  local low, high = offset_of(head[2][2]), log.offset
  while low < high do
    local middle = math.floor((low + high) / 2)
    local entry = call('XRANGE', history, whole(middle) .. '-0', '+', 'COUNT', 1)[1]
    if bytes_before(entry[2][2]) >= target then high = middle else low = middle + 1 end
  end
  call('XTRIM', history, 'MINID', whole(low) .. '-0')
end

-- Messages of a call that follow each other on a bus channel with the same ttl share one entry and one announcement. An
-- entry is read as a whole, so its size is bounded.
local ENTRY_BYTES = 8192
local bus, log_of_bus = 0, nil
local first_at, end_at, count = 1, 1, 0
local expires, order_of_last, lasting_before, own_before = 0, 0, 0, 0
local listeners = {}

-- Number of messages after which a channel is trimmed again.
local TRIM_INTERVAL = 128

local function append(history, log, facts, entry)
  local offset = log.offset
  if not call('XADD', history, 'NOMKSTREAM', offset, 'd', entry) then
    call('XADD', history, offset, 'd', entry)
    log.expires, log.dropped = 0, bytes_before(entry)
    log.rest, log.is_renewed = false, true
  end
  log.facts = facts
  if expires == 0 then
    if log.expires >= 0 then
      if log.expires > 0 then call('PERSIST', history) end
      log.expires = -1
      log.rest, log.is_renewed = false, true
    end
  elseif log.expires >= 0 and (expires > log.expires or -expires > log.expires) then
    -- Later than needed, so that it is not set again with every message.
    local latest = math.abs(expires)
    log.expires = latest + math.min(60000, math.floor((latest - now) / 4))
    log.rest, log.is_renewed = false, true
    call('PEXPIREAT', history, whole(log.expires))
  end
  if offset % TRIM_INTERVAL < count then
    if offset > max_messages then call('XTRIM', history, 'MINID', '~', whole(offset - max_messages + 1)) end
    drop_expired(history)
  end
  if log.bytes - log.dropped > max_bytes then drop_bytes(history, log) end
end

-- Writes and announces the entry that was gathered.
local function finish()
  if count == 0 then return end
  local name, entry
  if log_of_bus then
    local log = log_of_bus
    local facts = pack(FACTS, log.epoch, log.offset, lasting_before, own_before, log.order, expires, log.bytes, count)
    entry = facts .. sub(messages, first_at, end_at - 1)
    append(KEYS[histories + bus], log, facts, entry)
    name = KEYS[log_keys + bus]
  else
    entry = bare_facts('-', order_of_last, count) .. sub(messages, first_at, end_at - 1)
    name = ARGV[14 - channel_count + bus]
  end
  listeners[bus] = call(publish, name, entry)
  count = 0
end

-- Adds the message that begins at `from` and ends before `to`.
local function add(number, log, order, message_expires, from, to)
  if count == 0 or number ~= bus or from ~= end_at or order ~= order_of_last + 1 or message_expires ~= expires
    or to - first_at > ENTRY_BYTES then
    finish()
    bus, log_of_bus, first_at, expires = number, log, from, message_expires
    if log then lasting_before, own_before = log.lasting, log.own end
  end
  count, end_at, order_of_last = count + 1, to, order
  if log then
    log.offset, log.order, log.bytes = log.offset + 1, order, log.bytes + to - from
    if message_expires >= 0 then
      log.lasting = log.offset
    elseif -message_expires > log.own then
      log.own = -message_expires
    end
  end
end

-- A receipt: time of writing, number of channels, time, epoch and offset for each, fingerprint.
local function receipt_of(numbers, with_history, time, fingerprint)
  if with_history == 1 then
    -- The usual case, made as one string: a publish takes a twentieth less.
    local log = logs[numbers[1]]
    return pack('<dHdc8dc0', now, 1, time, log.epoch, log.offset + 1, fingerprint)
  end
  local receipt = pack('<dHd', now, with_history, time)
  for i = 1, with_history do
    local log = logs[numbers[i]]
    receipt = receipt .. pack('<c8d', log.epoch, log.offset + 1)
  end
  return receipt .. fingerprint
end

-- The result of a repeat; `!` if the receipt is of another message.
local function line_of(receipt, fingerprint)
  local _, count, time, at = unstruct('<dHd', receipt)
  local words = { '=', whole(time) }
  for i = 1, count do
    words[2 * i + 1], words[2 * i + 2], at = unstruct('<c8d', receipt, at)
    words[2 * i + 2] = whole(words[2 * i + 2])
  end
  return sub(receipt, at) == fingerprint and table.concat(words, ' ') or '!'
end

-- `note` returns the earlier receipt of the n-th id, or false after keeping the one that it was given. `renew` writes a
-- receipt again.
local note, renew
-- With windows: new receipts by id, and all fields that are written in the end.
local written, fields, current = {}, {}, nil

if window_ms > 0 then
  local window = math.floor(now / window_ms) - first_window + 1
  if window < 2 or window > WINDOWS then
    return redis.error_reply("LATE the node's clock is off by more than a window of receipts")
  end
  current = KEYS[window]
  -- This is the script's first write: a server that is out of memory refuses no later one.
  if call('HSETNX', current, '', '') == 1 then
    if window > 2 then call('UNLINK', KEYS[window - 2]) end
    call('PEXPIREAT', current, whole((first_window + window + 1) * window_ms + WINDOW_SLACK_MS))
  end
  local function look(other)
    return call('HMGET', KEYS[other], unpack(ARGV, ids_at + 1, ids_at + id_count))
  end
  local found, older = look(window), look(window - 1)
  for i = 1, id_count do found[i] = found[i] or older[i] end
  if window < WINDOWS and now % window_ms >= window_ms - WINDOW_SLACK_MS and call('EXISTS', KEYS[window + 1]) == 1 then
    local newer = look(window + 1)
    for i = 1, id_count do found[i] = newer[i] or found[i] end
  end
  renew = function(n, receipt)
    fields[#fields + 1] = ARGV[ids_at + n]
    fields[#fields + 1] = receipt
  end
  note = function(n, receipt)
    local id = ARGV[ids_at + n]
    local before = written[id] or found[n]
    if before and unstruct('<d', before) + receipt_ttl > now then return before end
    written[id] = receipt
    renew(n, receipt)
    return false
  end
elseif id_count > 0 then
  -- An absolute time: Redis would compute it from a relative one for every receipt.
  local expires = whole(now + receipt_ttl)
  renew = function(n, receipt)
    call('SET', KEYS[n], receipt, 'KEEPTTL')
  end
  note = function(n, receipt)
    return not call('SET', KEYS[n], receipt, 'PXAT', expires, 'NX') and call('GET', KEYS[n])
  end
end

local results = {}
local r, n, at = 0, 0, 1
local metas_bytes, message_at = #metas, 1
local numbers = {}
while at <= metas_bytes do
  local ttl, time, is_own, with_history, buses, has_id, bytes
  ttl, time, is_own, with_history, buses, has_id, bytes, numbers[1], at = unstruct(META, metas, at)
  for i = 2, buses do numbers[i], at = unstruct('<H', metas, at) end
  local order = start_us + r
  for i = 1, with_history do
    local log = logs[numbers[i]] or load(numbers[i])
    if log.order >= order then order = log.order + 1 end
  end
  local known
  if has_id == 1 then
    local fingerprint = sub(metas, at, at + FINGERPRINT_BYTES - 1)
    at = at + FINGERPRINT_BYTES
    n = n + 1
    local before = note(n, receipt_of(numbers, with_history, time, fingerprint))
    if before then
      known = line_of(before, fingerprint)
      if renews and known ~= '!' then renew(n, before) end
    end
  end
  r = r + 1
  if known then
    results[r] = known
  else
    local message_expires = ttl == 0 and 0 or is_own == 1 and -(now + ttl) or now + ttl
    local offsets = with_history ~= 1 and {}
    for i = 1, with_history do
      local log = logs[numbers[i]]
      add(numbers[i], log, order, message_expires, message_at, message_at + bytes)
      if offsets then offsets[i] = log.offset end
    end
    for i = with_history + 1, buses do add(numbers[i], nil, order, 0, message_at, message_at + bytes) end
    results[r] = offsets or logs[numbers[1]].offset
  end
  message_at = message_at + bytes
end
finish()

if #fields > 0 then call('HSET', current, unpack(fields)) end

for c = 1, channel_count do
  local log = logs[c]
  local key = KEYS[log_keys + c]
  if log.facts then
    if log.rest then
      call('SETRANGE', key, '0', log.facts)
    elseif not log.is_renewed then
      call('SET', key, log.facts .. pack_rest(log), 'KEEPTTL')
    elseif log.expires < 0 then
      call('SET', key, log.facts .. pack_rest(log))
    else
      call('SET', key, log.facts .. pack_rest(log), 'PX', whole(math.max(log.expires - now, 0) + retention))
    end
  end
  results[r + 1] = log.epoch
  -- If nobody has subscribed no stream has joined.
  results[r + 2] = listeners[c] == 0 and '' or table.concat(call('HGETALL', KEYS[audiences + c]), ' ')
  r = r + 2
end
return results
