-- What scripts of the store share. KEYS[1] is the prefix of all keys. The first arguments are settings: the weight and
-- the most running jobs of users without limits of their own, how many events are kept, how many of these may be of no
-- job, and the move that this is done for. While a store is moved nobody else does anything.
local P = KEYS[1]
if (redis.call('HGET', P .. 'moving', 'id') or '') ~= ARGV[5] then
  return redis.error_reply('MOVING the store is moved to or from another place')
end
local DEFAULT_WEIGHT, DEFAULT_RUNNING = tonumber(ARGV[1]), tonumber(ARGV[2])
local KEPT_EVENTS, KEPT_OTHERS = ARGV[3], tonumber(ARGV[4])
local MONTH_S = 30 * 24 * 3600
local call = redis.call
local at = 5

local function take()
  at = at + 1
  return ARGV[at]
end

-- Numbers are doubles; the usual way to text would round them.
local function text(number)
  return string.format('%.0f', number)
end

-- The pass of the latest claim, read once.
local latest
local function present()
  latest = latest or tonumber(call('GET', P .. 'present') or 0)
  return latest
end

-- Moves an average, in microseconds, by a new measurement: the newest ten or so count.
local function average(old, new_ms)
  local new = new_ms * 1000
  return text(old and math.floor((tonumber(old) * 7 + new) / 8) or new)
end

-- Learns what jobs of an analysis take.
local function learn(analysis, work_ms, run_ms)
  local work, run = 'work:' .. analysis, 'run:' .. analysis
  local old = call('HMGET', P .. 'costs', work, run)
  call('HSET', P .. 'costs', work, average(old[1], work_ms), run, average(old[2], run_ms))
end

-- A user as the server knows them: read once, changed, and written once by `put_back`. `analysis` says of which the
-- user's own costs are wanted.
local function take_user(name, analysis)
  local key = P .. 'user:' .. name
  local was = call('HMGET', key, 'pass', 'since', 'weight', 'max_running', 'running', 'waiting', 'charged_ms', 'place',
    'listed', 'cost:' .. analysis)
  return {
    name = name, key = key, was = was, analysis = analysis,
    pass = tonumber(was[1]), since = tonumber(was[2]), weight = math.max(tonumber(was[3]) or DEFAULT_WEIGHT, 1),
    most = tonumber(was[4]) or DEFAULT_RUNNING, running = tonumber(was[5] or 0), waiting = tonumber(was[6] or 0),
    charged_ms = tonumber(was[7] or 0), place = was[8] or '', listed = was[9] or '', cost = was[10],
  }
end

-- The pass that work of so many milliseconds moves a user: a million units for a millisecond at weight 1.
local function units(user, work_ms)
  return math.floor(work_ms * 1000000 / user.weight)
end

-- Charges a claim: what such jobs took of late, those of the user or of all, and a millisecond at least.
local function charge(user)
  local cost = user.cost or call('HGET', P .. 'costs', 'work:' .. user.analysis)
  local work_ms = math.max(math.floor(tonumber(cost or 0) / 1000), 1)
  user.pass = user.pass or present()
  if user.pass > present() then
    latest = user.pass
    call('SET', P .. 'present', text(latest))
  end
  user.pass = user.pass + units(user, work_ms)
  user.charged_ms = user.charged_ms + work_ms
  return work_ms
end

-- Replaces what was charged at a claim by what the attempt took.
local function correct(user, charged_ms, took_ms)
  local pass = (user.pass or present()) + units(user, took_ms) - units(user, charged_ms)
  user.pass = math.max(pass, user.since or 0)
  user.charged_ms = math.max(user.charged_ms + took_ms - charged_ms, 0)
end

-- Puts a job in line, or takes it out.
local function line_up(user, analysis, id, rank)
  call('ZADD', P .. 'ready:' .. user, rank, id)
  call('ZADD', P .. 'ready:' .. user .. ' ' .. analysis, rank, id)
end

local function fall_out(user, analysis, id)
  call('ZREM', P .. 'ready:' .. user, id)
  call('ZREM', P .. 'ready:' .. user .. ' ' .. analysis, id)
end

-- Puts a user on the right side of the ring: in it are those who have a ready job and a free place, by pass. Who comes
-- in line begins at the present. Those who have a ready job and no free place are in `full`.
local function find_place(user)
  local is_ready = call('EXISTS', P .. 'ready:' .. user.name) == 1
  local place = is_ready and (user.running < user.most and 'ring' or 'full') or ''
  if user.place == 'ring' and place ~= 'ring' then
    call('ZREM', P .. 'ring', user.name)
  elseif user.place == 'full' and place ~= 'full' then
    call('SREM', P .. 'full', user.name)
  end
  if place == 'ring' then
    if user.place ~= 'ring' then
      user.since = present()
      user.pass = math.max(user.pass or present(), present())
    end
    call('ZADD', P .. 'ring', text(user.pass), user.name)
  elseif place == 'full' then
    call('SADD', P .. 'full', user.name)
  end
  user.place = place
end

-- `users` are those with limits of their own or unfinished jobs; others are forgotten in time.
local function list(user)
  local is_listed = user.was[3] or user.running > 0 or user.waiting > 0
  if is_listed and user.listed ~= '1' then
    call('SADD', P .. 'users', user.name)
    call('PERSIST', user.key)
    user.listed = '1'
  elseif not is_listed and user.listed ~= '' then
    call('SREM', P .. 'users', user.name)
    call('EXPIRE', user.key, MONTH_S)
    user.listed = ''
  end
end

local function put_back(user)
  find_place(user)
  list(user)
  local fields = {}
  local function note(name, value, was)
    if value and value ~= was then
      fields[#fields + 1] = name
      fields[#fields + 1] = value
    end
  end
  note('pass', user.pass and text(user.pass), user.was[1])
  note('since', user.since and text(user.since), user.was[2])
  note('running', text(user.running), user.was[5])
  note('waiting', text(user.waiting), user.was[6])
  note('charged_ms', text(user.charged_ms), user.was[7])
  note('place', user.place, user.was[8])
  note('listed', user.listed, user.was[9])
  note('cost:' .. user.analysis, user.cost, user.was[10])
  if #fields > 0 then
    call('HSET', user.key, unpack(fields))
  end
end

-- Drops the oldest events when there are too many, a node of the stream at a time, and notes with which one it begins then.
local function trim()
  if call('XTRIM', P .. 'events', 'MAXLEN', '~', KEPT_EVENTS) > 0 then
    local first = call('XRANGE', P .. 'events', '-', '+', 'COUNT', 1)[1]
    if first then
      call('SET', P .. 'event:oldest', string.match(first[1], '%d+'))
    end
  end
end

-- Tells an event, given as CloudEvents JSON without its beginning. Without a job it is one of those that drive out only
-- their like. Returns its number.
local function tell(job, json)
  local count = call('INCR', P .. 'event:number')
  local number = text(count)
  call('XADD', P .. 'events', number .. '-0', 'event', '{"id":"' .. number .. '",' .. json)
  if job ~= '' then
    call('ZADD', P .. 'job:events:' .. job, number, number)
  elseif call('RPUSH', P .. 'events:others', number) > KEPT_OTHERS then
    call('XDEL', P .. 'events', call('LPOP', P .. 'events:others') .. '-0')
  end
  if count % 64 == 0 then
    trim()
  end
  return number
end

local function wake(whom)
  call('XADD', P .. 'wakes', 'MAXLEN', '~', 256, '*', 'wake', whom)
end
