-- A node says how far it has acknowledged a channel on a server that is no longer the channel's. When this server's log does not
-- reach as far, something acknowledged is lost: the log begins a new epoch, and every stream of the channel learns it
-- from the ancestors. Said twice, it counts once.
--
-- KEYS  log
-- ARGV  1 run id of this server   2 epoch, offset: 3 that was acknowledged   4 the epoch to begin
--       5 `publish` or `spublish`   6 ms that the log's state is kept at least
-- Returns 1 when the loss was noted, 0 when there is none or it is known
local text = redis.call('GET', KEYS[1])
-- Without a log, or with one that does not know the epoch, this is another life: its streams get a gap by that.
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
    -- What another node has reported already may have been less.
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
-- Streams that have followed to the current epoch have missed it too.
succeed(log, ARGV[4], ARGV[1], lost_up_to)
local ttl = redis.call('PTTL', KEYS[1])
if ttl == -1 then
  redis.call('SET', KEYS[1], pack_state(log))
else
  redis.call('SET', KEYS[1], pack_state(log), 'PX', math.max(ttl, tonumber(ARGV[6])))
end
redis.call(ARGV[5], KEYS[1], bare_facts('!', 0, 0))
return 1
