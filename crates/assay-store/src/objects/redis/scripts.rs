//! What has to happen in one step, as scripts. None of them can fail once it has begun to write: what needs memory comes
//! first, and is refused before it when there is none.

use redis::Script;

/// Keeps the bytes of a chunk that belongs to no object yet. A chunk that is there stays as it is: a request that was
/// repeated may arrive after the chunk has become one of an object.
///
/// Keys: `staged`, the chunk. Arguments: its member, its bytes.
const STAGE: &str = r"
if redis.call('EXISTS', KEYS[2]) == 1 then return 1 end
redis.call('SET', KEYS[2], ARGV[2])
local time = redis.call('TIME')
redis.call('ZADD', KEYS[1], time[1] * 1000 + math.floor(time[2] / 1000), ARGV[1])
return 1
";

/// As `STAGE`, with the bytes of another chunk. Says 0 when that is gone.
///
/// Keys: `staged`, the chunk, the other one. Argument: the member of the chunk.
const STAGE_COPY: &str = r"
if redis.call('EXISTS', KEYS[2]) == 1 then return 1 end
if redis.call('COPY', KEYS[3], KEYS[2]) == 0 then return 0 end
local time = redis.call('TIME')
redis.call('ZADD', KEYS[1], time[1] * 1000 + math.floor(time[2] / 1000), ARGV[1])
return 1
";

/// Removes chunks that belong to no object and says how many there were.
///
/// Keys: `staged`. Arguments: what names of chunks begin with, members.
const UNSTAGE: &str = r"
local removed = 0
for n = 2, #ARGV do
  if redis.call('ZREM', KEYS[1], ARGV[n]) == 1 then
    redis.call('UNLINK', ARGV[1] .. ARGV[n])
    removed = removed + 1
  end
end
return removed
";

/// Gives chunks a name. Says `done` with the time in milliseconds, also when this was done before; `exists` or `changed`
/// when the mode forbids it; `gone` when a chunk was removed meanwhile.
///
/// Keys: `names`, `about`, `staged`. Arguments: what names of chunks begin with, path, `overwrite`, `create` or `update`,
/// id that an update replaces, id, size, bytes of a chunk, and the bytes themselves unless they are staged.
const PUBLISH: &str = r"
local chunks, path, mode, replaced, id = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local size, chunk_bytes = tonumber(ARGV[6]), tonumber(ARGV[7])
local before = redis.call('HGET', KEYS[2], path)
local old_id, old_size, old_chunk, written
if before then old_id, old_size, old_chunk, written = string.match(before, '^(%S+) (%d+) (%d+) (%d+)$') end
if old_id == id then return {'done', written} end
if mode == 'create' and before then return {'exists', ''} end
if mode == 'update' and old_id ~= replaced then return {'changed', ''} end
local count = math.ceil(size / chunk_bytes)
if not ARGV[8] then
  for n = 0, count - 1 do
    if not redis.call('ZSCORE', KEYS[3], id .. ':' .. n) then return {'gone', ''} end
  end
end
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('HSET', KEYS[2], path, id .. ' ' .. ARGV[6] .. ' ' .. ARGV[7] .. ' ' .. now)
redis.call('ZADD', KEYS[1], 0, path)
if not ARGV[8] then
  for n = 0, count - 1 do redis.call('ZREM', KEYS[3], id .. ':' .. n) end
elseif size > 0 then
  redis.call('SET', chunks .. id .. ':0', ARGV[8])
end
if old_id then
  for n = 0, math.ceil(old_size / old_chunk) - 1 do redis.call('UNLINK', chunks .. old_id .. ':' .. n) end
end
return {'done', now}
";

/// Removes an object; says whether there was one.
///
/// Keys: `names`, `about`. Arguments: what names of chunks begin with, path.
const DELETE: &str = r"
local before = redis.call('HGET', KEYS[2], ARGV[2])
redis.call('ZREM', KEYS[1], ARGV[2])
if not before then return 0 end
redis.call('HDEL', KEYS[2], ARGV[2])
local id, size, chunk_bytes = string.match(before, '^(%S+) (%d+) (%d+) %d+$')
if id then
  for n = 0, math.ceil(size / chunk_bytes) - 1 do redis.call('UNLINK', ARGV[1] .. id .. ':' .. n) end
end
return 1
";

/// Gives an object another name. Says `done`, `missing`, or `exists` when it must not replace another.
///
/// Keys: `names`, `about`. Arguments: what names of chunks begin with, path, new path, `overwrite` or `create`.
const RENAME: &str = r"
local chunks, from, to, mode = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local moved = redis.call('HGET', KEYS[2], from)
if not moved then return 'missing' end
local before = redis.call('HGET', KEYS[2], to)
if before and mode == 'create' then return 'exists' end
if from == to then return 'done' end
redis.call('HSET', KEYS[2], to, moved)
redis.call('ZADD', KEYS[1], 0, to)
redis.call('HDEL', KEYS[2], from)
redis.call('ZREM', KEYS[1], from)
if before then
  local id, size, chunk_bytes = string.match(before, '^(%S+) (%d+) (%d+) %d+$')
  if id then
    for n = 0, math.ceil(size / chunk_bytes) - 1 do redis.call('UNLINK', chunks .. id .. ':' .. n) end
  end
end
return 'done'
";

/// All of them, hashed once.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) stage: Script,
    pub(super) stage_copy: Script,
    pub(super) unstage: Script,
    pub(super) publish: Script,
    pub(super) delete: Script,
    pub(super) rename: Script,
}

impl Default for Scripts {
    fn default() -> Self {
        Self {
            stage: Script::new(STAGE),
            stage_copy: Script::new(STAGE_COPY),
            unstage: Script::new(UNSTAGE),
            publish: Script::new(PUBLISH),
            delete: Script::new(DELETE),
            rename: Script::new(RENAME),
        }
    }
}
