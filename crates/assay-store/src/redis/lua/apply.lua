-- Conditions, then writes: their number, and of each its name, how many arguments follow, and they. Returns 0, or the
-- place of the first condition that does not hold; nothing was written then.
local function sum(first, last)
  local members = 0
  for place = first, last do
    members = members + call('ZCARD', ARGV[place])
  end
  return members
end

local holds = {
  ['field'] = function(a) return call('HGET', ARGV[a], ARGV[a + 1]) == ARGV[a + 2] end,
  ['no field'] = function(a) return call('HEXISTS', ARGV[a], ARGV[a + 1]) == 0 end,
  ['field below'] = function(a)
    return tonumber(call('HGET', ARGV[a], ARGV[a + 1]) or 0) < tonumber(ARGV[a + 2])
  end,
  ['fields'] = function(a) return call('HLEN', ARGV[a]) == tonumber(ARGV[a + 1]) end,
  ['fields below'] = function(a) return call('HLEN', ARGV[a]) < tonumber(ARGV[a + 1]) end,
  ['text'] = function(a) return call('GET', ARGV[a]) == ARGV[a + 1] end,
  ['absent'] = function(a) return call('EXISTS', ARGV[a]) == 0 end,
  ['set'] = function(a) return call('SCARD', ARGV[a]) == tonumber(ARGV[a + 1]) end,
  ['sorted'] = function(a) return call('ZCARD', ARGV[a]) == tonumber(ARGV[a + 1]) end,
  ['score'] = function(a)
    return tonumber(call('ZSCORE', ARGV[a], ARGV[a + 1]) or nil) == tonumber(ARGV[a + 2])
  end,
  ['no score'] = function(a) return not call('ZSCORE', ARGV[a], ARGV[a + 1]) end,
  ['sorted below'] = function(a, z) return sum(a + 1, z) < tonumber(ARGV[a]) end,
}

local guards = tonumber(take())
for guard = 1, guards do
  local name, count = take(), tonumber(take())
  if not holds[name](at + 1, at + count) then
    return guard
  end
  at = at + count
end

local number
local own = {
  ['event'] = function(a) number = tell(ARGV[a], ARGV[a + 1]) end,
  ['event number'] = function(a) call('HSET', ARGV[a], ARGV[a + 1], number) end,
  ['learn'] = function(a) learn(ARGV[a], tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2])) end,
  -- The user, how many jobs more wait and run, what a job of which analysis took, and pairs of what was charged and what
  -- is charged in its place.
  ['user'] = function(a, z)
    local user = take_user(ARGV[a], ARGV[a + 3])
    user.waiting = user.waiting + tonumber(ARGV[a + 1])
    user.running = user.running + tonumber(ARGV[a + 2])
    if ARGV[a + 3] ~= '' then
      user.cost = average(user.cost, tonumber(ARGV[a + 4]))
    end
    for place = a + 5, z, 2 do
      correct(user, tonumber(ARGV[place]), tonumber(ARGV[place + 1]))
    end
    put_back(user)
  end,
  ['retire'] = retire,
  ['retire all'] = retire_all,
  ['reinstate'] = reinstate,
  ['wake'] = function(a) wake(ARGV[a]) end,
}

local writes = tonumber(take())
for _ = 1, writes do
  local name, count = take(), tonumber(take())
  if own[name] then
    own[name](at + 1, at + count)
  else
    call(name, unpack(ARGV, at + 1, at + count))
  end
  at = at + count
end
return 0
