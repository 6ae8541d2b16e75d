/**
 * What the document store does in Redis, each as one step of its. All keys begin with the prefix:
 *
 * - `state`: a hash of the number of the last change, up to which removals are not told any more, and when the keys end
 * - `entry:<id>`: a hash of an entry
 * - `labels`: a hash of the sets in which an entry is, by its id
 * - `puts`, `removed`: sorted sets of ids by the number of the last change, of entries that are there and that are gone
 * - `ends`: a sorted set of ids by when they expire
 * - `all`, `tenant:…`, `model:…`, `root:…`, `category:…`, `tag:…`: sorted sets of ids by when they were made
 *
 * A number is never given twice: it follows the last one, and the clock where that is ahead, as after a restart of a server that kept nothing.
 */
const COMMON = `
local prefix = ARGV[1]
local function key(name) return prefix .. ':' .. name end
local function int(value) return string.format('%.0f', value) end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local clock = time[1] * 1000000 + time[2]
local function state()
  local known = redis.call('HMGET', key('state'), 'last', 'forgotten')
  if known[1] then return tonumber(known[1]), tonumber(known[2]) end
  -- New, or lost: who has read before begins anew.
  redis.call('HSET', key('state'), 'last', int(clock), 'forgotten', int(clock))
  return clock, clock
end
local function leave(id)
  local labels = redis.call('HGET', key('labels'), id)
  for label in string.gmatch(labels or '', '[^ ]+') do redis.call('ZREM', key(label), id) end
end
-- When the last entry has long ended, so have all keys: the state with what it speaks of.
local function keep(until_)
  until_ = math.max(until_, tonumber(redis.call('HGET', key('state'), 'end') or 0))
  redis.call('HSET', key('state'), 'end', int(until_))
  for _, name in ipairs({ 'labels', 'puts', 'ends', 'removed', 'state' }) do
    redis.call('PEXPIREAT', key(name), int(until_))
  end
end
-- When Redis itself lets go of what is not swept. Not soon, whatever its time of day.
local function endOf(expires) return math.max(tonumber(expires), now) + 7 * 86400000 end
local function found(ids, step)
  local answer = {}
  for i = 1, #ids, 2 do
    local entry = redis.call('HMGET', key('entry:' .. ids[i]), unpack(step))
    answer[#answer + 1] = { ids[i], ids[i + 1], unpack(entry, 1, #step) }
  end
  return answer
end
`;

/** Of documents, each: id, made at, expires at, labels, head, body, vector, signature. */
export const PUT = `${COMMON}
local number = math.max(state() + 1, clock)
local latest = 0
for i = 2, #ARGV, 8 do
  local id, made, expires, labels = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local ends = endOf(expires)
  leave(id)
  redis.call('HSET', key('labels'), id, labels)
  for label in string.gmatch(labels, '[^ ]+') do
    redis.call('ZADD', key(label), made, id)
    local left = redis.call('PTTL', key(label))
    if left < 0 or now + left < ends then redis.call('PEXPIREAT', key(label), int(ends)) end
  end
  local entry = key('entry:' .. id)
  redis.call('HSET', entry, 'head', ARGV[i + 4], 'body', ARGV[i + 5], 'vector', ARGV[i + 6], 'signature', ARGV[i + 7])
  redis.call('PEXPIREAT', entry, int(ends))
  redis.call('ZADD', key('puts'), int(number), id)
  redis.call('ZADD', key('ends'), expires, id)
  latest = math.max(latest, ends)
  number = number + 1
end
redis.call('HSET', key('state'), 'last', int(number - 1))
keep(latest)
`;

/** Of ids. @returns how many there were */
export const REMOVE = `${COMMON}
local number = math.max(state() + 1, clock)
local count = 0
for i = 2, #ARGV do
  local id = ARGV[i]
  -- Before all that adds something, which a full Redis lets a script do only when it has begun.
  local was = redis.call('ZREM', key('puts'), id)
  leave(id)
  redis.call('HDEL', key('labels'), id)
  redis.call('ZREM', key('ends'), id)
  redis.call('DEL', key('entry:' .. id))
  if was == 1 then
    redis.call('ZADD', key('removed'), int(number), id)
    redis.call('HSET', key('state'), 'last', int(number))
    number = number + 1
    count = count + 1
  end
end
if count > 0 then keep(endOf(now)) end
return count
`;

/** Adds to the hits of ids. */
export const HIT = `${COMMON}
for i = 2, #ARGV, 2 do
  local entry = key('entry:' .. ARGV[i])
  if redis.call('EXISTS', entry) == 1 then redis.call('HINCRBY', entry, 'hits', ARGV[i + 1]) end
end
`;

/** Heads by the number of their last change: those after one, so many. */
export const HEADS = `${COMMON}
local ids = redis.call('ZRANGEBYSCORE', key('puts'), '(' .. ARGV[2], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[3])
return found(ids, { 'head', 'hits', 'vector' })
`;

/** Heads of a set from when they were made: newest first, so many after so many. */
export const FIND = `${COMMON}
local ids = redis.call('ZREVRANGEBYSCORE', key(ARGV[2]), ARGV[3], '-inf', 'WITHSCORES', 'LIMIT', ARGV[4], ARGV[5])
return found(ids, { 'head', 'hits' })
`;

/** Changes after a number, so many; nil where they are not known any more. */
export const CHANGES = `${COMMON}
local after, limit = tonumber(ARGV[2]), tonumber(ARGV[3])
local last, forgotten = state()
if after < forgotten or after > last then return nil end
local from = '(' .. int(after)
local puts = redis.call('ZRANGEBYSCORE', key('puts'), from, '+inf', 'WITHSCORES', 'LIMIT', 0, limit)
local removed = redis.call('ZRANGEBYSCORE', key('removed'), from, '+inf', 'WITHSCORES', 'LIMIT', 0, limit)
local ids, i, j = {}, 1, 1
while #ids < 2 * limit and (i < #puts or j < #removed) do
  local isPut = j > #removed or i < #puts and tonumber(puts[i + 1]) < tonumber(removed[j + 1])
  if isPut then ids[#ids + 1], ids[#ids + 2], i = puts[i], puts[i + 1], i + 2
  else ids[#ids + 1], ids[#ids + 2], j = removed[j], removed[j + 1], j + 2 end
end
return found(ids, { 'head', 'hits', 'vector' })
`;

export const LAST = `${COMMON}
local last = state()
return int(last)
`;

/** Forgets removals that are so much older than the last change. */
export const FORGET = `${COMMON}
local last = state()
local until_ = int(last - tonumber(ARGV[2]))
local newest = redis.call('ZREVRANGEBYSCORE', key('removed'), until_, '-inf', 'WITHSCORES', 'LIMIT', 0, 1)
if newest[2] then
  redis.call('ZREMRANGEBYSCORE', key('removed'), '-inf', until_)
  redis.call('HSET', key('state'), 'forgotten', newest[2])
end
`;
