-- One question to the schedule of one scope; gcra.py says what the words mean.
-- KEYS: the schedule, the processes seen lately (one hash tag: both live in one cluster slot).
-- ARGV: member cost known cold block soft
local member = ARGV[1]
local cost, known, cold, wish = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local soft = ARGV[6] == '1'
local MEMBER_WINDOW, IDLE_MS = 30000000, 600000

-- Not tostring: it keeps 14 digits, and a microsecond of today has 16.
local function whole(number) return string.format('%.0f', number) end

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])

local kept = redis.call('HMGET', KEYS[1], 'at', 'block', 'seen')
local at, block, seen = tonumber(kept[1] or ''), tonumber(kept[2] or ''), tonumber(kept[3] or '')
if not (at and block and seen) then
  at, block, seen = now, now + known + cold, now
end
local back = math.max(0, seen - now)

redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', whole(now - MEMBER_WINDOW))
redis.call('ZREMRANGEBYSCORE', KEYS[2], '(' .. whole(now), '+inf')
redis.call('ZADD', KEYS[2], whole(now), member)
local processes = redis.call('ZCARD', KEYS[2])

block = block - back
if not (soft and block > now) then block = math.max(block, now + wish) end
at = math.max(at - back, now + known, block)

local granted = block <= now and cost > 0
local wait = math.max(0, block - now)
if granted then
  wait = at - now
  at = at + cost
end

redis.call('HSET', KEYS[1], 'at', whole(at), 'block', whole(block), 'seen', whole(now))
local idle = whole(math.ceil((at - now) / 1000) + IDLE_MS)
redis.call('PEXPIRE', KEYS[1], idle)
redis.call('PEXPIRE', KEYS[2], idle)
return {granted and 1 or 0, wait, at - now, processes}
