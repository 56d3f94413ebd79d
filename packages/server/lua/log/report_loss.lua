-- Reports how far a node has acknowledged a channel on another server run. If this server's log does not reach as far,
-- acknowledged messages are lost: the log begins a new epoch, and the channel's streams learn of the loss from its
-- ancestors. Repeated reports count once.
--
-- KEYS     1 log
-- ARGV     1 run id of this server   2 epoch and   3 offset that were acknowledged   4 name for a new epoch
--          5 `publish` or `spublish`   6 least time for which the log's state is kept, ms
-- Returns  1 if a loss was recorded, 0 if there is none or it is known
local text = redis.call('GET', KEYS[1])
-- A log that does not know the epoch, or no log at all, is a new life of the channel: its streams get a gap anyway.
if not text then return 0 end
local log = unpack_log(text)
local epoch, offset = ARGV[2], tonumber(ARGV[3])
local lost_up_to = false
if log.epoch == epoch then
  if log.offset >= offset then return 0 end
  lost_up_to = offset
else
  local ancestors, is_new = {}, false
  for name, up_to, mark in string.gmatch(log.ancestors, '([^,:]+):(%d+)(!?%d*)') do
    -- Another node may have reported less before.
    local known = tonumber(string.sub(mark, 2)) or tonumber(up_to)
    if name == epoch and known < offset then
      mark, is_new = '!' .. whole(offset), true
    end
    ancestors[#ancestors + 1] = name .. ':' .. up_to .. mark
  end
  if not is_new then return 0 end
  log.ancestors = table.concat(ancestors, ',')
  lost_up_to = log.offset
end
-- Streams that are in the current epoch have missed the same messages.
succeed(log, ARGV[4], ARGV[1], lost_up_to)
local ttl = redis.call('PTTL', KEYS[1])
if ttl == -1 then
  redis.call('SET', KEYS[1], pack_state(log))
else
  redis.call('SET', KEYS[1], pack_state(log), 'PX', math.max(ttl, tonumber(ARGV[6])))
end
redis.call(ARGV[5], KEYS[1], bare_facts('!', 0, 0))
return 1
