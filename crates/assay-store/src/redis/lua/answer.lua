-- Takes an entry out of the inbox and tells the answer to it. KEYS[1] is the prefix of all keys. Arguments: the entry, the
-- group, the list for the answer or nothing, the answer, how many answers a list has, and how many seconds it is kept.
-- Returns 0 when the entry was answered before, 1, or 2 when what should be the list is none.
local inbox = KEYS[1] .. 'inbox'
local entry, group, list, answer, most, seconds = unpack(ARGV)
if redis.call('XACK', inbox, group, entry) == 0 then
  return 0
end
redis.call('XDEL', inbox, entry)
if list == '' then
  return 1
end
local kind = redis.call('TYPE', list).ok
if kind ~= 'none' and kind ~= 'list' then
  return 2
end
redis.call('RPUSH', list, answer)
redis.call('LTRIM', list, -most, -1)
redis.call('EXPIRE', list, seconds)
return 1
