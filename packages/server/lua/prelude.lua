-- Put before every script.
local call = redis.call

-- A whole number as text. Lua would write large ones with an exponent.
local function whole(n)
  return string.format('%.0f', n)
end

-- Microseconds since 1970 on this server's clock. Expiry and order follow it, so nodes need not agree on the time.
local function now_us()
  local time = call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end
