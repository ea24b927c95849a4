-- Gives jobs that wait to a worker: of the user with the smallest pass the first by rank, as often as asked. Arguments:
-- the time, the worker, how many jobs, how long a lease lasts, how long a worker may go on beyond a time limit, how long
-- a silent worker is known, the rest of an attempt as JSON, and the parts of an event between which job, owner and
-- revision stand. Returns each job's id and hash.
local now, worker, most = tonumber(take()), take(), tonumber(take())
local lease_ms, grace_ms, seen_ms = tonumber(take()), tonumber(take()), tonumber(take())
local attempt_json = take()
local before_job, before_owner, before_revision, ending = take(), take(), take(), take()

local function see_worker(slots)
  redis.call('ZADD', P .. 'workers', now, worker)
  local known = tonumber(redis.call('HGET', P .. 'workers:slots', worker) or 0)
  redis.call('HSET', P .. 'workers:slots', worker, text(math.max(known, slots)))
  local gone = redis.call('ZRANGEBYSCORE', P .. 'workers', '-inf', '(' .. text(now - seen_ms), 'LIMIT', 0, 100)
  for _, name in ipairs(gone) do
    redis.call('ZREM', P .. 'workers', name)
    redis.call('HDEL', P .. 'workers:slots', name)
  end
end

-- Fences follow the clock where they can, so that none is given again by a server that lost its last writes.
local function next_fence()
  local last = tonumber(redis.call('GET', P .. 'fence') or 0)
  local fence = text(math.max(last + 1, now * 1000))
  redis.call('SET', P .. 'fence', fence)
  return fence
end

local function begin(user, id, job)
  local key = P .. 'job:' .. id
  local owner, analysis, revision = job[4], job[5], text(tonumber(job[6]) + 1)
  local attempt, fence = text(tonumber(job[7]) + 1), next_fence()
  local charged_ms = expected_ms(user, analysis)
  charge(user, charged_ms)
  local til, stop_at = now + lease_ms, now + tonumber(job[8]) + grace_ms
  redis.call('HSET', key, 'v', text(tonumber(job[3]) + 1), 'state', 'running', 'revision', revision, 'attempt', attempt,
    'started_at', text(now), 'fence', fence, 'worker', worker, 'until', text(til), 'stop_at', text(stop_at),
    'charged_ms', text(charged_ms))
  redis.call('HDEL', key, 'stage', 'done', 'total', 'unit', 'rows')
  redis.call('HSET', P .. 'job:attempts:' .. id, fence, '{"number":' .. attempt .. ',"fence":' .. fence .. ',' .. attempt_json)
  redis.call('ZREM', P .. 'ready:' .. user, id)
  redis.call('ZREM', P .. 'jobs:state:queued', id)
  redis.call('ZADD', P .. 'jobs:state:running', 0, id)
  redis.call('ZADD', P .. 'leases', text(til), id)
  redis.call('HSET', P .. 'fences', fence, id)
  redis.call('SADD', P .. 'worker:jobs:' .. worker, id)
  redis.call('ZADD', P .. 'alarms', text(math.min(tonumber(job[9]) or stop_at, stop_at)), id)
  redis.call('HINCRBY', P .. 'user:' .. user, 'waiting', -1)
  redis.call('HINCRBY', P .. 'user:' .. user, 'running', 1)
  tell(id, before_job .. id .. before_owner .. owner .. before_revision .. revision .. ending)
end

see_worker(redis.call('SCARD', P .. 'worker:jobs:' .. worker) + most)
local claimed = {}
if redis.call('HEXISTS', P .. 'pauses', '') == 1 then
  return claimed
end
-- Jobs of paused analyses are parked as they are come upon, a bounded number at a time.
for _ = 1, most + 1000 do
  if #claimed == most then
    break
  end
  local user = redis.call('ZRANGE', P .. 'ring', 0, 0)[1]
  if not user then
    break
  end
  local first = redis.call('ZRANGE', P .. 'ready:' .. user, 0, 0, 'WITHSCORES')
  local id = first[1]
  if id then
    local job = redis.call('HMGET', P .. 'job:' .. id, 'state', 'shares', 'v', 'owner', 'analysis', 'revision', 'attempt',
      'timeout_ms', 'deadline')
    if job[1] ~= 'queued' or job[2] then
      redis.call('ZREM', P .. 'ready:' .. user, id)
    elseif redis.call('HEXISTS', P .. 'pauses', job[5]) == 1 then
      redis.call('ZREM', P .. 'ready:' .. user, id)
      redis.call('ZADD', P .. 'parked:' .. job[5], first[2], id)
      redis.call('SADD', P .. 'parked', job[5])
    else
      begin(user, id, job)
      claimed[#claimed + 1] = { id, redis.call('HGETALL', P .. 'job:' .. id) }
    end
  end
  mend(user)
end
return claimed
