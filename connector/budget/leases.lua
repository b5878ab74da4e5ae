-- One question about the token of one page; ledger.py says what the words mean.
-- KEYS: run, cold, the page's lease, what was made for it (one hash tag: one cluster slot).
-- ARGV: verb nonce lease memory refused made
local verb, nonce, lease, memory = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

-- A server that may not be asked for its run (a managed one) is noticed only when it was emptied.
local info = redis.pcall('INFO', 'server')
local run = type(info) == 'string' and string.match(info, 'run_id:(%w+)') or 'unknown'
if redis.call('GET', KEYS[1]) ~= run then
  redis.call('SET', KEYS[1], run)
  redis.call('SET', KEYS[2], '1', 'PX', lease)
end
local cold = math.max(0, redis.call('PTTL', KEYS[2]))
local holder = redis.call('GET', KEYS[3])

local function give_back()
  if holder == nonce then redis.call('DEL', KEYS[3]) end
end

local verbs = {}

function verbs.warm_up() return {'cold', cold} end

function verbs.claim()
  if cold > 0 then return {'busy', cold} end
  if holder and holder ~= nonce then return {'busy', redis.call('PTTL', KEYS[3])} end
  local made = redis.call('HMGET', KEYS[4], 'refused', 'made')
  if made[1] then
    local left = redis.call('PTTL', KEYS[4])
    if made[1] == ARGV[5] then return {'replaced', left} end
    return {made[2] == ARGV[5] and 'spoilt' or 'fought', left}
  end
  redis.call('SET', KEYS[3], nonce, 'PX', lease)
  return {'held', 0}
end

function verbs.confirm()
  if cold > 0 or holder ~= nonce then return {'lost', 0} end
  redis.call('PEXPIRE', KEYS[3], lease)
  return {'held', 0}
end

function verbs.record()
  redis.call('HSET', KEYS[4], 'refused', ARGV[5], 'made', ARGV[6])
  redis.call('PEXPIRE', KEYS[4], memory)
  give_back()
  return {'done', 0}
end

function verbs.give_back()
  give_back()
  return {'done', 0}
end

return verbs[verb]()
