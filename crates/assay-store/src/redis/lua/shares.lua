-- What scripts of the store share. KEYS[1] is the prefix of all keys. The first arguments are settings: the weight and
-- the most running jobs of users without limits of their own, and how many events are kept.
local P = KEYS[1]
local DEFAULT_WEIGHT, DEFAULT_RUNNING, KEPT_EVENTS = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local at = 3

local function take()
  at = at + 1
  return ARGV[at]
end

-- Numbers are doubles; the usual way to text would round them.
local function text(number)
  return string.format('%.0f', number)
end

local function present()
  return tonumber(redis.call('GET', P .. 'present') or 0)
end

-- The pass that work of so many milliseconds moves a user of this weight: a million units for one at weight 1.
local function units(work_ms, weight)
  return math.floor(work_ms * 1000000 / math.max(weight or DEFAULT_WEIGHT, 1))
end

-- Puts a user on the right side of the ring: in it are those who have a ready job and a free place, by pass. Who comes
-- in line begins at the present. Those who have a ready job and no free place are in `full`.
local function mend(user)
  local key = P .. 'user:' .. user
  local known = redis.call('HMGET', key, 'pass', 'running', 'max_running', 'waiting', 'weight')
  local pass, running = tonumber(known[1]), tonumber(known[2] or 0)
  local is_ready = redis.call('EXISTS', P .. 'ready:' .. user) == 1
  local is_eligible = is_ready and running < (tonumber(known[3]) or DEFAULT_RUNNING)
  local in_ring = redis.call('ZSCORE', P .. 'ring', user)
  if is_eligible then
    if not in_ring then
      local now = present()
      pass = math.max(pass or now, now)
      redis.call('HSET', key, 'pass', text(pass), 'since', text(now))
    end
    redis.call('ZADD', P .. 'ring', text(pass), user)
  elseif in_ring then
    redis.call('ZREM', P .. 'ring', user)
  end
  if is_ready and not is_eligible then
    redis.call('SADD', P .. 'full', user)
  else
    redis.call('SREM', P .. 'full', user)
  end
  -- `users` are those with limits of their own or unfinished jobs.
  if known[5] or running > 0 or tonumber(known[4] or 0) > 0 then
    redis.call('SADD', P .. 'users', user)
  else
    redis.call('SREM', P .. 'users', user)
  end
end

-- Charges a claim.
local function charge(user, work_ms)
  local key = P .. 'user:' .. user
  local known = redis.call('HMGET', key, 'pass', 'weight')
  local now = present()
  local pass = tonumber(known[1]) or now
  if pass > now then
    redis.call('SET', P .. 'present', text(pass))
  end
  redis.call('HSET', key, 'pass', text(pass + units(work_ms, tonumber(known[2]))))
  redis.call('HINCRBY', key, 'charged_ms', text(work_ms))
end

-- Replaces what was charged at a claim by what the attempt took.
local function correct(user, charged_ms, took_ms)
  local key = P .. 'user:' .. user
  local known = redis.call('HMGET', key, 'pass', 'weight', 'since', 'charged_ms')
  local weight = tonumber(known[2])
  local pass = (tonumber(known[1]) or present()) + units(took_ms, weight) - units(charged_ms, weight)
  pass = math.max(pass, tonumber(known[3]) or 0)
  local charged = math.max(tonumber(known[4] or 0) + took_ms - charged_ms, 0)
  redis.call('HSET', key, 'pass', text(pass), 'charged_ms', text(charged))
end

-- Moves an average, in microseconds, by a new measurement: the newest ten or so count.
local function average(key, field, new_ms)
  local old, new = tonumber(redis.call('HGET', key, field) or nil), new_ms * 1000
  redis.call('HSET', key, field, text(old and math.floor((old * 7 + new) / 8) or new))
end

-- Learns what jobs of an analysis take: those of all, and those of the user, whose data may be much larger.
local function learn(user, analysis, work_ms, run_ms)
  average(P .. 'costs', analysis, work_ms)
  average(P .. 'costs:run', analysis, run_ms)
  local own = P .. 'user:costs:' .. user
  average(own, analysis, work_ms)
  redis.call('EXPIRE', own, 30 * 24 * 3600)
end

-- What a claim is charged: what such jobs took of late, and a millisecond at least.
local function expected_ms(user, analysis)
  local own = redis.call('HGET', P .. 'user:costs:' .. user, analysis)
  local cost = tonumber(own or redis.call('HGET', P .. 'costs', analysis) or 0)
  return math.max(math.floor(cost / 1000), 1)
end

-- Tells an event of a job, given as CloudEvents JSON without its beginning. Returns its number.
local function tell(job, json)
  local number = text(redis.call('INCR', P .. 'event:number'))
  redis.call('XADD', P .. 'events', 'MAXLEN', '~', KEPT_EVENTS, number .. '-0', 'event', '{"id":"' .. number .. '",' .. json)
  redis.call('ZADD', P .. 'job:events:' .. job, number, number)
  return number
end

local function wake(whom)
  redis.call('XADD', P .. 'wakes', 'MAXLEN', '~', 256, '*', 'wake', whom)
end
