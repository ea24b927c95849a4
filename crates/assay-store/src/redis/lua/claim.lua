-- Gives jobs that wait to a worker: of the user with the smallest pass the first by rank, as often as asked. Arguments:
-- the time, or nothing for that of the server, the worker, how many jobs, how long a lease lasts, how long a worker may
-- go on beyond a time limit, the rest of an attempt as JSON, the parts of an event of a new worker between which its time
-- stands, the parts of an event of a job between which job, time, owner and revision stand, and the analyses whose jobs
-- the worker takes, none for all. Returns each job's id and hash.
local now, worker, most = tonumber(take()), take(), tonumber(take())
local lease_ms, grace_ms = tonumber(take()), tonumber(take())
local attempt_json, started, new_worker = take(), take(), take()
local before_job, before_time, before_owner, before_revision, ending = take(), take(), take(), take(), take()
-- Read here and not before: a job that is given must not begin before it was submitted.
if not now then
  local time = call('TIME')
  now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- A time as text; days to dates as in `civil_from_days` of H. Hinnant's "chrono-Compatible Low-Level Date Algorithms".
local function iso(ms)
  local days, rest = math.floor(ms / 86400000), ms % 86400000
  local z = days + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local day, month = doy - math.floor((153 * mp + 2) / 5) + 1, mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  local minutes = math.floor(rest / 60000)
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%03dZ', year, month, day, math.floor(minutes / 60), minutes % 60,
    math.floor(rest / 1000) % 60, rest % 1000)
end
local now_text = iso(now)
local only = { unpack(ARGV, at + 1) }

local function see_worker()
  local slots = call('SCARD', P .. 'worker:jobs:' .. worker) + most
  local known = tonumber(call('HGET', P .. 'workers:slots', worker) or 0)
  if slots > known then
    call('HSET', P .. 'workers:slots', worker, text(slots))
  end
  if call('ZADD', P .. 'workers', text(now), worker) == 1 then
    if #only > 0 then
      call('HSET', P .. 'workers:analyses', worker, table.concat(only, ' '))
    end
    tell('', started .. now_text .. new_worker)
  end
end

-- Fences follow the clock where they can, so that none is given again by a server that lost its last writes.
local function next_fence()
  local last = tonumber(call('GET', P .. 'fence') or 0)
  local fence = text(math.max(last + 1, now * 1000))
  call('SET', P .. 'fence', fence)
  return fence
end

local function begin(user, id, job)
  local key = P .. 'job:' .. id
  local revision, attempt = text(tonumber(job[5]) + 1), text(tonumber(job[6]) + 1)
  local fence, charged_ms = next_fence(), charge(user)
  local til, stop_at = now + lease_ms, now + tonumber(job[7]) + grace_ms
  call('HSET', key, 'v', text(tonumber(job[3]) + 1), 'state', 'running', 'revision', revision, 'attempt', attempt,
    'started_at', text(now), 'fence', fence, 'worker', worker, 'until', text(til), 'stop_at', text(stop_at),
    'charged_ms', text(charged_ms))
  if job[9] then
    call('HDEL', key, 'stage', 'done', 'total', 'unit', 'rows')
  end
  call('HSET', P .. 'job:attempts:' .. id, fence, '{"number":' .. attempt .. ',"fence":' .. fence ..
    ',"started_at":' .. text(now) .. ',' .. attempt_json)
  fall_out(user.name, job[4], id)
  call('ZREM', P .. 'jobs:state:queued', id)
  call('ZADD', P .. 'jobs:state:running', 0, id)
  call('ZADD', P .. 'leases', text(til), id)
  call('HSET', P .. 'fences', fence, id)
  call('SADD', P .. 'worker:jobs:' .. worker, id)
  call('ZADD', P .. 'alarms', text(math.min(tonumber(job[8]) or stop_at, stop_at)), id)
  user.waiting, user.running = user.waiting - 1, user.running + 1
  tell(id, before_job .. id .. before_time .. now_text .. before_owner .. user.name .. before_revision .. revision .. ending)
end

see_worker()
local claimed = {}
local has_pauses = call('EXISTS', P .. 'pauses') == 1
local function is_paused(analysis)
  return has_pauses and call('HEXISTS', P .. 'pauses', analysis) == 1
end
if is_paused('') then
  return claimed
end

-- The user whose turn it is, and the first of their jobs with its rank.
local function next_of_all()
  local name = call('ZRANGE', P .. 'ring', 0, 0)[1]
  if name then
    return name, unpack(call('ZRANGE', P .. 'ready:' .. name, 0, 0, 'WITHSCORES'))
  end
end

-- The first job of a user among those of some analyses.
local function first_of(name, analyses)
  local id, rank
  for _, analysis in ipairs(analyses) do
    local first = call('ZRANGE', P .. 'ready:' .. name .. ' ' .. analysis, 0, 0, 'WITHSCORES')
    if first[1] and (not rank or tonumber(first[2]) < tonumber(rank)) then
      id, rank = first[1], first[2]
    end
  end
  return id, rank
end

-- As `next_of_all`, among the jobs of some analyses. Users who have none are passed over, a bounded number of them.
local looks = 2000
local function next_of(analyses)
  local place = 0
  while looks > 0 do
    local names = call('ZRANGE', P .. 'ring', place, place + 31)
    for _, name in ipairs(names) do
      local id, rank = first_of(name, analyses)
      if id then
        return name, id, rank
      end
    end
    if #names < 32 then
      return
    end
    place, looks = place + 32, looks - 32
  end
end

local wanted = {}
for _, analysis in ipairs(only) do
  if not is_paused(analysis) then
    wanted[#wanted + 1] = analysis
  end
end

-- Jobs of paused analyses are parked as they are come upon, a bounded number at a time.
for _ = 1, most + 1000 do
  if #claimed == most then
    break
  end
  local name, id, rank
  if #only > 0 then
    name, id, rank = next_of(wanted)
  else
    name, id, rank = next_of_all()
  end
  if not name then
    break
  end
  local job = id and call('HMGET', P .. 'job:' .. id, 'state', 'shares', 'v', 'analysis', 'revision', 'attempt', 'timeout_ms',
    'deadline', 'stage')
  local analysis = job and job[4] or ''
  local user = take_user(name, analysis)
  if not id then
    -- The ring is mended below.
  elseif job[1] ~= 'queued' or job[2] then
    fall_out(name, analysis, id)
  elseif is_paused(analysis) then
    fall_out(name, analysis, id)
    call('ZADD', P .. 'parked:' .. analysis, rank, id)
    call('SADD', P .. 'parked', analysis)
  else
    begin(user, id, job)
    claimed[#claimed + 1] = { id, call('HGETALL', P .. 'job:' .. id) }
  end
  put_back(user)
end
return claimed
