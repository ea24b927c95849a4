-- Extends leases. Arguments: the time, how long a lease lasts, and fences. Returns of each the job, and whether it
-- should stop; nothing of a lease that is gone.
local now, lease_ms = tonumber(take()), tonumber(take())
local answers = {}
while at < #ARGV do
  local id = call('HGET', P .. 'fences', take())
  local key = P .. 'job:' .. (id or '')
  local held = id and call('HMGET', key, 'until', 'worker', 'cancel_requested')
  if held and held[1] and now < tonumber(held[1]) then
    local til = text(now + lease_ms)
    call('HSET', key, 'until', til)
    call('ZADD', P .. 'leases', til, id)
    call('ZADD', P .. 'workers', 'XX', text(now), held[2])
    answers[#answers + 1] = { id, held[3] and 1 or 0 }
  else
    answers[#answers + 1] = {}
  end
end
return answers
