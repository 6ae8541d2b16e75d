/**
 * What the gateways do in Redis, each as one step of its. Times are Redis' own, so that gateways need not agree on one; what a
 * gateway holds is under its name, and counts while it says that it lives.
 *
 * Redis has the time of day only, which can be set. So time is added up here, from step to step: gateways say every second that they
 * live, and what lies further apart than a few of those is no time that has passed but a jump, or one in which nobody asked.
 */

const COMMON = `
local asked = cjson.decode(ARGV[1])
local prefix, instance = asked.prefix, asked.instance
local MINUTE, KEPT = 60, 3 * 86400
local MOST_STEP = 3000
-- Minus nothing is no integer to Redis.
local function int(value) return value == 0 and '0' or string.format('%.0f', value) end
-- Milliseconds that only go on.
local function steadily()
  local key, time = prefix .. ':clock', redis.call('TIME')
  local wall = time[1] * 1000 + math.floor(time[2] / 1000)
  local known = redis.call('HMGET', key, 'wall', 'steady')
  local steady = wall
  if known[1] and known[2] then steady = known[2] + math.max(0, math.min(MOST_STEP, wall - known[1])) end
  redis.call('HSET', key, 'wall', int(wall), 'steady', int(steady))
  return steady
end
local now = steadily()
local second = math.floor(now / 1000)
local function aliveKey(name) return prefix .. ':alive:' .. name end
-- When it ends is its value: what Redis itself lets expire goes by the time of day.
local function lives(name) return tonumber(redis.call('GET', aliveKey(name)) or 0) > now end
local function lease() redis.call('SET', aliveKey(instance), int(now + asked.milliseconds), 'EX', KEPT) end
local function heldKey(scope) return prefix .. ':held:' .. scope.id end
local function spentKey(scope, period) return prefix .. ':spent:' .. scope.id .. ':' .. period .. ':' .. scope.first[period] end
local function usedKey(scope, unit) return prefix .. ':' .. unit .. ':' .. scope.id end
local function hold(scope, concurrent, tokens, money)
  local key = heldKey(scope)
  redis.call('HINCRBY', key, instance .. ':concurrent', int(concurrent))
  redis.call('HINCRBY', key, instance .. ':tokens', int(tokens))
  redis.call('HINCRBY', key, instance .. ':money', int(money))
  redis.call('EXPIRE', key, KEPT)
end
local function spend(scope, tokens, money)
  for period in pairs(scope.first) do
    local key = spentKey(scope, period)
    -- What was never read from the database is read when it is next asked for.
    if redis.call('EXISTS', key) == 1 then
      redis.call('HINCRBY', key, 'tokens', int(tokens))
      redis.call('HINCRBY', key, 'money', int(money))
    end
  end
end
-- To what the database or a gateway says was spent: for the first time, or more than was known.
local function raise(scope, sums)
  for period, amounts in pairs(sums) do
    local key = spentKey(scope, period)
    for _, unit in ipairs({ 'tokens', 'money' }) do
      local known = tonumber(redis.call('HGET', key, unit) or -1)
      if amounts[unit] > known then redis.call('HSET', key, unit, int(amounts[unit])) end
    end
    redis.call('EXPIRE', key, period == 'total' and KEPT or 33 * 86400)
  end
end
`;

/** Holds what a request needs in every scope, or says which limit is in its way, or what must be read from the database first. */
export const RESERVE = `${COMMON}
local need = asked.need
local living = { [instance] = true }
local function isLiving(name)
  if living[name] == nil then living[name] = lives(name) end
  return living[name]
end
local function heldBy(scope)
  local sums, key = { concurrent = 0, tokens = 0, money = 0 }, heldKey(scope)
  local fields = redis.call('HGETALL', key)
  for i = 1, #fields, 2 do
    local name, what = string.match(fields[i], '^(.*):(%a+)$')
    if isLiving(name) then sums[what] = sums[what] + math.max(0, tonumber(fields[i + 1]))
    else redis.call('HDEL', key, fields[i]) end
  end
  return sums
end
local function usedOf(scope, unit)
  local key, total, list = usedKey(scope, unit), 0, {}
  local fields = redis.call('HGETALL', key)
  for i = 1, #fields, 2 do
    local at, amount = tonumber(fields[i]), tonumber(fields[i + 1])
    if at <= second - MINUTE or at > second + 1 then redis.call('HDEL', key, fields[i])
    else
      total = total + amount
      list[#list + 1] = { at, amount }
    end
  end
  table.sort(list, function(a, b) return a[1] < b[1] end)
  return total, list
end
local function wait(total, list, most)
  if most < 0 then return MINUTE * 1000 end
  local left = total
  for _, each in ipairs(list) do
    if left <= most then break end
    left = left - each[2]
    if left <= most then return (each[1] + MINUTE - second) * 1000 end
  end
  return 0
end

local missing = {}
for index, scope in ipairs(asked.scopes) do
  for _, budget in ipairs(scope.budgets) do
    if redis.call('EXISTS', spentKey(scope, budget.period)) == 0 then
      missing[#missing + 1] = index - 1
      break
    end
  end
end
if #missing > 0 then return cjson.encode({ missing = missing }) end

-- A budget that is spent is told before one that only is held, and both before what passes with a minute.
local spentOut, obstacle, helds = nil, nil, {}
for index, scope in ipairs(asked.scopes) do
  local held = heldBy(scope)
  helds[index] = held
  for which, budget in ipairs(scope.budgets) do
    local spent = tonumber(redis.call('HGET', spentKey(scope, budget.period), budget.unit) or 0)
    local wanted = need[budget.unit]
    if wanted > 0 and spent + held[budget.unit] + wanted > budget.most then
      local found = { scope = index - 1, kind = 'budget', budget = which - 1, spent = spent, held = held[budget.unit] }
      obstacle = obstacle or found
      if spent + wanted > budget.most then spentOut = spentOut or found end
    end
  end
end
obstacle = spentOut or obstacle
local amounts = { requests = 1, tokens = need.tokens }
if need.isInteractive and obstacle == nil then
  for index, scope in ipairs(asked.scopes) do
    for _, unit in ipairs({ 'requests', 'tokens' }) do
      local limit = scope[unit]
      if limit and obstacle == nil then
        local used, list = usedOf(scope, unit)
        if used + amounts[unit] > limit then
          local milliseconds = wait(used, list, limit - amounts[unit])
          obstacle = { scope = index - 1, kind = unit, limit = limit, used = used, milliseconds = milliseconds }
        end
      end
    end
    if obstacle == nil and scope.concurrent and helds[index].concurrent >= scope.concurrent then
      obstacle = { scope = index - 1, kind = 'concurrency', limit = scope.concurrent }
    end
  end
end
if obstacle == nil then
  for _, scope in ipairs(asked.scopes) do
    hold(scope, need.isInteractive and 1 or 0, need.tokens, need.money)
    if need.isInteractive then
      for _, unit in ipairs({ 'requests', 'tokens' }) do
        local key = usedKey(scope, unit)
        redis.call('HINCRBY', key, second, int(amounts[unit]))
        redis.call('EXPIRE', key, KEPT)
        -- Where there is no limit, nobody else looks at what is older than a minute.
        if redis.call('HLEN', key) > 2 * MINUTE then usedOf(scope, unit) end
      end
    end
  end
end
local rates = {}
for _, scope in ipairs(asked.scopes) do
  for _, unit in ipairs({ 'requests', 'tokens' }) do
    local limit = scope[unit]
    if limit then
      local used, list = usedOf(scope, unit)
      local remaining = math.max(0, limit - used)
      if rates[unit] == nil or remaining < rates[unit].remaining then
        rates[unit] = { limit = limit, remaining = remaining, resetMilliseconds = wait(used, list, 0) }
      end
    end
  end
end
return cjson.encode({ obstacle = obstacle, rates = rates, second = second })
`;

/** Puts what was used in the place of what was held. What was held while Redis was away is in no minute of its. */
export const SETTLE = `${COMMON}
local need, used = asked.need, asked.used
for _, scope in ipairs(asked.scopes) do
  hold(scope, need.isInteractive and -1 or 0, -need.tokens, -need.money)
  if used then spend(scope, used.tokens, used.money) end
  if need.isInteractive and asked.second then
    local changes = { requests = used and 0 or -1, tokens = (used and used.tokens or 0) - need.tokens }
    for unit, change in pairs(changes) do
      local key = usedKey(scope, unit)
      if redis.call('HEXISTS', key, asked.second) == 1 then redis.call('HINCRBY', key, asked.second, int(change)) end
    end
  end
end
return 1
`;

export const SPENT = `${COMMON}
raise(asked.scope, asked.sums)
return 1
`;

/** Says that a gateway lives: 0 where Redis did not know, and may have let go of what it held. */
export const LIVE = `${COMMON}
if not lives(instance) then return 0 end
lease()
return 1
`;

/** A gateway says under a new name all that it holds and knows to be spent; what was held under its former one is free. */
export const STATE = `${COMMON}
redis.call('DEL', aliveKey(asked.former))
lease()
for _, scope in ipairs(asked.scopes) do
  if scope.concurrent > 0 or scope.tokens > 0 then hold(scope, scope.concurrent, scope.tokens, scope.money) end
  if scope.sums then raise(scope, scope.sums) end
end
return 1
`;
