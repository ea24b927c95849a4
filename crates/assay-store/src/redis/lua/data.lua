-- Hot records that a version does not have any more become former ones.

-- One by one: hot, meta, former, index of it, version, and the keys.
local function retire(first, last)
  local hot, meta, former, index, version = unpack(ARGV, first, first + 4)
  for place = first + 5, last do
    local key = ARGV[place]
    local known, json = redis.call('HGET', meta, key), redis.call('HGET', hot, key)
    local numbers = known and string.match(known, '^%d+ %d+ %d+ ')
    if numbers and json then
      redis.call('HSET', former, version .. ':' .. key, numbers .. json)
      redis.call('ZADD', index, 0, #key .. ':' .. key .. ':' .. version)
      redis.call('HDEL', hot, key)
      redis.call('HDEL', meta, key)
    end
  end
end

-- All at once: hot, meta, and the names under which they are former ones.
local function retire_all(first)
  for place = first, first + 1 do
    if redis.call('EXISTS', ARGV[place]) == 1 then
      redis.call('RENAME', ARGV[place], ARGV[place + 2])
    end
  end
end

-- Takes those back that stay: as `retire_all`, and the keys.
local function reinstate(first, last)
  for place = first, first + 1 do
    for key = first + 4, last do
      local value = redis.call('HGET', ARGV[place + 2], ARGV[key])
      if value then
        redis.call('HSET', ARGV[place], ARGV[key], value)
        redis.call('HDEL', ARGV[place + 2], ARGV[key])
      end
    end
  end
end
