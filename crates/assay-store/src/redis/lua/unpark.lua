-- Puts parked jobs of an analysis that is not paused back in line. Arguments: the analysis, and how many. Returns how
-- many were parked still.
local analysis, most = take(), tonumber(take())
local parked = P .. 'parked:' .. analysis
if call('HEXISTS', P .. 'pauses', analysis) == 1 then
  return 0
end
local jobs = call('ZRANGE', parked, 0, most - 1, 'WITHSCORES')
local users = {}
for place = 1, #jobs, 2 do
  local id, rank = jobs[place], jobs[place + 1]
  local job = call('HMGET', P .. 'job:' .. id, 'owner', 'state', 'shares')
  call('ZREM', parked, id)
  if job[2] == 'queued' and not job[3] then
    line_up(job[1], analysis, id, rank)
    users[job[1]] = true
  end
end
for user in pairs(users) do
  put_back(take_user(user, ''))
end
local left = call('ZCARD', parked)
if left == 0 then
  call('SREM', P .. 'parked', analysis)
  if #jobs > 0 then
    wake('queued')
  end
end
return left
