-- One question to the schedule of one scope; gcra.py and learnt.py say what the words and figures mean.
-- KEYS: the schedule, the processes seen lately (one hash tag: both live in one cluster slot).
-- ARGV: member clock cost extra rank known cold join block soft left grace brief, then what the caller
-- has learnt (cuts top base passed streak cap), then the cap that it was told now.
local FULL, LEAST, CUT, DEEP_CUT, YOUNG, QUICK, NOISY = 1000000, 100000, 0.93, 0.6, 4, 5, 20
local SPAN, LONGER, STREAK, SAME, BELOW, PROBE, STEEP = 56, 30, 15, 1.1, 0.97, 100, 4.0
local MEMBER_WINDOW, SHARE, LINGER, IDLE_MS = 30000000, 20, 2, 600000

local member, number = ARGV[1], {}
for place = 2, #ARGV do number[place] = tonumber(ARGV[place]) end
local clock, cost, extra, rank = number[2], number[3], number[4], number[5] + 1
local known, cold, join, wish, soft = number[6], number[7], number[8], number[9], number[10] == 1
local left, grace, brief = number[11], number[12], number[13]
local theirs = {cuts = number[14], top = number[15], base = number[16],
                passed = number[17], streak = number[18], cap = number[19]}
local cap = number[20]

-- Not tostring: it keeps 14 digits, and a microsecond of today has 16.
local function whole(value) return string.format('%.0f', value) end

local NAMES = {'at', 'block', 'seen', 'cut', 'cuts', 'top', 'base', 'passed', 'streak', 'cap',
               'wait0', 'wait1', 'wait2', 'wait3', 'due0', 'due1', 'due2', 'due3',
               'who0', 'who1', 'who2', 'who3'}
local kept = redis.call('HMGET', KEYS[1], unpack(NAMES))
local function was(place, otherwise) return tonumber(kept[place] or '') or otherwise end

-- Some managed servers refuse TIME to scripts: then the clock that is furthest ahead counts.
local time, now = redis.pcall('TIME'), nil
if time.err then now = math.max(clock, was(3, 0)) else now = tonumber(time[1]) * 1000000 + tonumber(time[2]) end

local at, block, seen = was(1), was(2), was(3)
if not (at and block and seen) then
  at, block, seen = now, now + known + cold, now
end
local back = math.max(0, seen - now)
at, block = at - back, block - back
local last_cut = was(4, 0) - back
local learnt = {cuts = was(5, 0), top = was(6, FULL), base = was(7, FULL),
                passed = was(8, 0), streak = was(9, 0), cap = was(10, FULL)}
local waits, dues, whos = {}, {}, {}
for place = 1, 4 do
  waits[place], dues[place] = was(10 + place, 0) - back, was(14 + place, 0) - back
  whos[place] = kept[18 + place] or ''
end

-- Who shares the scope.
at = math.max(at, now + known)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', whole(now - MEMBER_WINDOW))
for _, who in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. whole(at), '+inf')) do
  redis.call('ZADD', KEYS[2], whole(at), who)
end
local added = redis.call('ZADD', KEYS[2], whole(now), member)
local processes = redis.call('ZCARD', KEYS[2])
if added == 1 and processes > 1 then at = at + join end

-- What refusals and headers taught.
if theirs.cuts > learnt.cuts then learnt = theirs end
if cap > 0 then learnt.cap = cap end

local function level()
  if learnt.cuts == 0 then return math.min(FULL, learnt.cap) end
  local span = SPAN + LONGER * learnt.streak
  local beyond = learnt.passed - span
  local way, steep = beyond / span, learnt.top - learnt.base
  if beyond > 0 then way, steep = beyond / PROBE, STEEP * learnt.top end
  local reached = math.min(FULL, learnt.top + steep * way * way * way)
  return math.min(math.max(LEAST, math.floor(reached)), learnt.cap)
end

local function cut()
  local met, few = level(), learnt.cuts < YOUNG and NOISY or QUICK
  local quick = learnt.cuts > 0 and learnt.passed < few
  local base = math.floor(met * ((quick or learnt.cuts == 0) and DEEP_CUT or CUT))
  local moved = learnt.cuts > 0 and met < learnt.top * BELOW
  local other, streak = met, 0
  if quick or (moved and learnt.passed < NOISY) then
    other = base
  elseif learnt.cuts > 0 then
    other = learnt.top
  end
  if learnt.cuts > 0 and not quick then
    if moved then
      streak = math.max(0, learnt.streak - 1)
    elseif met <= learnt.top * SAME then
      streak = math.min(learnt.streak + 1, STREAK)
    end
  end
  return {cuts = learnt.cuts + 1, top = math.floor((met + other) / 2), base = base, passed = 0, streak = streak, cap = learnt.cap}
end

if left >= 0 then
  if now - left > last_cut + grace then
    learnt, last_cut = cut(), now
    if soft then wish = brief end
  elseif soft and now - left <= last_cut then
    wish = 0
  end
end
if not (soft and block > now) then block = math.max(block, now + wish) end

-- The moment.
at = math.max(at, block)
local asked, free = cost > 0, block <= now
if processes > 1 then cost = cost + extra end
cost = math.ceil(cost * FULL / level())
local crowded = 0
for place = 1, rank - 1 do
  if whos[place] ~= member then crowded = math.max(crowded, waits[place]) end
end
local turn = math.min(crowded, dues[rank])
local granted = asked and free and turn <= now
local yields = asked and free and not granted
local wait = math.max(0, block - now)
if granted then
  wait = at - now
elseif yields then
  wait = turn - now
end
if asked then
  local till = math.max(at, now + wait) + LINGER * cost
  if till >= waits[rank] then waits[rank], whos[rank] = till, member end
end
if granted then
  dues[rank] = at + SHARE * cost
  if learnt.cuts > 0 then learnt.passed = learnt.passed + 1 end
  redis.call('ZADD', KEYS[2], whole(at), member)
  at = at + cost
end

local values = {at, block, now, last_cut, learnt.cuts, learnt.top, learnt.base, learnt.passed, learnt.streak,
                learnt.cap, waits[1], waits[2], waits[3], waits[4], dues[1], dues[2], dues[3], dues[4]}
local fields = {}
for place, name in ipairs(NAMES) do
  fields[2 * place - 1] = name
  fields[2 * place] = place <= 18 and whole(values[place]) or whos[place - 18]
end
redis.call('HSET', KEYS[1], unpack(fields))
local idle = whole(math.ceil((at - now) / 1000) + IDLE_MS)
redis.call('PEXPIRE', KEYS[1], idle)
redis.call('PEXPIRE', KEYS[2], idle)
return {granted and 1 or 0, wait, at - now, processes, yields and 1 or 0, whole(now),
        learnt.cuts, learnt.top, learnt.base, learnt.passed, learnt.streak, learnt.cap}
