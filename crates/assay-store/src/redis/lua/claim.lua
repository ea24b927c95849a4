-- Gives jobs that wait to a worker: of the user with the smallest pass the first by rank, as often as asked. Arguments:
-- the time, the worker, how many jobs, how long a lease lasts, how long a worker may go on beyond a time limit, the event
-- that tells of a new worker, the rest of an attempt as JSON, and the parts of an event between which job, owner and
-- revision stand. Returns each job's id and hash.
local now, worker, most = tonumber(take()), take(), tonumber(take())
local lease_ms, grace_ms = tonumber(take()), tonumber(take())
local started_json, attempt_json = take(), take()
local before_job, before_owner, before_revision, ending = take(), take(), take(), take()

local function see_worker()
  local slots = call('SCARD', P .. 'worker:jobs:' .. worker) + most
  local known = tonumber(call('HGET', P .. 'workers:slots', worker) or 0)
  if slots > known then
    call('HSET', P .. 'workers:slots', worker, text(slots))
  end
  if call('ZADD', P .. 'workers', text(now), worker) == 1 then
    tell('', started_json)
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
  call('HSET', P .. 'job:attempts:' .. id, fence, '{"number":' .. attempt .. ',"fence":' .. fence .. ',' .. attempt_json)
  call('ZREM', P .. 'ready:' .. user.name, id)
  call('ZREM', P .. 'jobs:state:queued', id)
  call('ZADD', P .. 'jobs:state:running', 0, id)
  call('ZADD', P .. 'leases', text(til), id)
  call('HSET', P .. 'fences', fence, id)
  call('SADD', P .. 'worker:jobs:' .. worker, id)
  call('ZADD', P .. 'alarms', text(math.min(tonumber(job[8]) or stop_at, stop_at)), id)
  user.waiting, user.running = user.waiting - 1, user.running + 1
  tell(id, before_job .. id .. before_owner .. user.name .. before_revision .. revision .. ending)
end

see_worker()
local claimed = {}
local has_pauses = call('EXISTS', P .. 'pauses') == 1
if has_pauses and call('HEXISTS', P .. 'pauses', '') == 1 then
  return claimed
end
-- Jobs of paused analyses are parked as they are come upon, a bounded number at a time.
for _ = 1, most + 1000 do
  if #claimed == most then
    break
  end
  local name = call('ZRANGE', P .. 'ring', 0, 0)[1]
  if not name then
    break
  end
  local first = call('ZRANGE', P .. 'ready:' .. name, 0, 0, 'WITHSCORES')
  local id = first[1]
  local job = id and call('HMGET', P .. 'job:' .. id, 'state', 'shares', 'v', 'analysis', 'revision', 'attempt', 'timeout_ms',
    'deadline', 'stage')
  local user = take_user(name, job and job[4] or '')
  if not id then
    -- The ring is mended below.
  elseif job[1] ~= 'queued' or job[2] then
    call('ZREM', P .. 'ready:' .. name, id)
  elseif has_pauses and call('HEXISTS', P .. 'pauses', job[4]) == 1 then
    call('ZREM', P .. 'ready:' .. name, id)
    call('ZADD', P .. 'parked:' .. job[4], first[2], id)
    call('SADD', P .. 'parked', job[4])
  else
    begin(user, id, job)
    claimed[#claimed + 1] = { id, call('HGETALL', P .. 'job:' .. id) }
  end
  put_back(user)
end
return claimed
