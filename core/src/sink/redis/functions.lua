#!lua name=sluice
-- What a Sluice sink runs inside Redis: one call stores one batch of journal records.
--
-- Redis does not take back what a function has done when it fails half-way. So everything that can
-- be wrong is looked for first, and nothing is written until all of it is found to be right; running
-- out of memory is refused by Redis before the call begins, and never after its first write. Should a
-- batch fail all the same, the watermark says from before its first write on that it is unfinished:
-- nothing is stored behind it, nor counted twice, until the copy is made anew.
--
-- Integers come and go as text: a Lua number is exact only up to 2^53.

-- The fields of a SKU that events count up and down. A SKU begins with each at 0.
local COUNTERS = { 'received', 'available', 'held', 'sold', 'withdrawn', 'standby' }

-- Most arguments of a command: Lua's stack is bounded.
local ARGUMENTS_MAX = 1000

local function type_of(key)
  return redis.call('TYPE', key).ok
end

-- Whether a text is a number as this library writes them, and one that HINCRBY takes: neither `007`
-- nor `-0`, and so far from 2^63 that no batch can carry it there.
local function is_whole(text)
  if text == '0' then
    return true
  end
  return type(text) == 'string' and string.find(text, '^%-?[1-9]%d*$') and #string.match(text, '%d+') <= 16
end

-- Walks through the steps of a batch. A step is its kind, the number of its arguments, and those;
-- it is about the next of KEYS, but for entries of the stream, which are about none.
local function walk(keys, args, key, first, visit)
  local at = first
  while at <= #args do
    local kind, count = args[at], tonumber(args[at + 1])
    local of = nil
    if kind ~= 'event' then
      of = keys[key]
      key = key + 1
    end
    local refused = visit(kind, of, at + 2, at + 1 + count)
    if refused then
      return refused
    end
    at = at + 2 + count
  end
end

-- What the SKUs of a sale's hash are; nil if that cannot be read.
local function skus_of(key)
  local list = redis.call('HGET', key, 'skus')
  local fine, skus = pcall(cjson.decode, list or '[]')
  if not fine or type(skus) ~= 'table' then
    return nil
  end
  for _, sku in ipairs(skus) do
    if type(sku) ~= 'string' then
      return nil
    end
  end
  return skus
end

-- Calls a command on a key with many arguments, a whole number of pairs at a time. Gives all answers.
local function in_parts(command, key, arguments)
  local answers = {}
  for first = 1, #arguments, ARGUMENTS_MAX do
    local last = math.min(first + ARGUMENTS_MAX - 1, #arguments)
    local answer = redis.call(command, key, unpack(arguments, first, last))
    if type(answer) == 'table' then
      for _, one in ipairs(answer) do
        answers[#answers + 1] = one
      end
    end
  end
  return answers
end

local function slice(args, first, last)
  local part = {}
  for at = first, last do
    part[#part + 1] = args[at]
  end
  return part
end

-- Whether there is a hash, as earlier records made it.
local function look_at_hash(key)
  local found = type_of(key)
  if found == 'none' then
    return { 'lacking', key }
  elseif found ~= 'hash' then
    return { 'odd', key, 'it is a ' .. found .. ' and no hash' }
  end
end

-- Whether a sale can be changed. `lists` are the SKUs of the sales that have been looked at; what the
-- batch itself makes is not there yet.
local function look_at_sale(lists, kind, key)
  if kind == 'sale_new' then
    lists[key] = {}
  elseif not lists[key] then
    local refused = look_at_hash(key)
    if refused then
      return refused
    end
    lists[key] = skus_of(key)
    if not lists[key] then
      return { 'odd', key, 'its field skus is no list of SKUs' }
    end
  end
end

-- Whether a SKU's counters can be changed.
local function look_at_sku(args, key, first, last)
  local counters = {}
  for at = first + 2 + tonumber(args[first + 1]), last, 2 do
    counters[#counters + 1] = args[at]
  end
  local values = redis.pcall('HMGET', key, 'sequence', unpack(counters))
  if values.err or not values[1] then
    local refused = look_at_hash(key)
    if refused or values.err then
      return refused or error(values)
    end
  end
  for at, counter in ipairs(counters) do
    if not is_whole(values[at + 1]) then
      return { 'odd', key, 'its field ' .. counter .. ' is no number' }
    end
  end
end

-- Whether a step can be taken: nothing is written.
local function look(names, args, kind, key, first, last)
  if kind == 'order' then
    return look_at_hash(key)
  elseif kind == 'sku' then
    return look_at_sku(args, key, first, last)
  elseif kind == 'sale' or kind == 'sale_new' or kind == 'sale_moved' then
    return look_at_sale(names.lists, kind, key)
  end
end

-- Makes the SKUs in `now` those of a sale, and no others of those in `before`.
local function regroup(taken, sale, before, now)
  local stays, left, pairs_of = {}, {}, {}
  for _, sku in ipairs(now) do
    stays[sku] = true
    pairs_of[#pairs_of + 1] = sku
    pairs_of[#pairs_of + 1] = sale
  end
  for at, of in ipairs(in_parts('HMGET', taken, before)) do
    if of == sale and not stays[before[at]] then
      left[#left + 1] = before[at]
    end
  end
  in_parts('HDEL', taken, left)
  in_parts('HSET', taken, pairs_of)
end

-- sku: its name, how many arguments its fields are, those, and by how much its counters change.
local function apply_sku(names, args, kind, key, first, last)
  local counters = first + 2 + tonumber(args[first + 1])
  if kind == 'sku_new' then
    redis.call('DEL', key)
    redis.call('SADD', names.skus, args[first])
    for _, counter in ipairs(COUNTERS) do
      redis.call('HSET', key, counter, '0')
    end
  end
  redis.call('HSET', key, unpack(args, first + 2, counters - 1))
  for at = counters, last, 2 do
    redis.call('HINCRBY', key, args[at], args[at + 1])
  end
end

-- sale: its name, how many arguments its fields are, those, and its SKUs.
local function apply_sale(names, args, kind, key, first, last)
  local sale, fields = args[first], tonumber(args[first + 1])
  if kind == 'sale_new' then
    redis.call('DEL', key)
    redis.call('SADD', names.sales, sale)
    redis.call('HSET', key, 'paused', '0', 'ended', '0')
  end
  local now = slice(args, first + 2 + fields, last)
  redis.call('HSET', key, unpack(args, first + 2, first + 1 + fields))
  regroup(names.taken, sale, names.lists[key], now)
  names.lists[key] = now
end

-- A sale that was paused, resumed or ended: its name, and what its hash says from now on.
local function apply_sale_moved(names, args, key, first, last)
  redis.call('HSET', key, unpack(args, first + 1, last))
  if redis.call('HGET', key, 'ended') == '1' then
    regroup(names.taken, args[first], names.lists[key], {})
  end
end

local function apply(names, args, kind, key, first, last)
  if kind == 'event' then
    redis.call('XADD', names.events, args[first] .. '-0', unpack(args, first + 1, last))
  elseif kind == 'order' then
    redis.call('HSET', key, unpack(args, first, last))
  elseif kind == 'order_new' then
    redis.call('DEL', key)
    redis.call('HSET', key, unpack(args, first, last))
  elseif kind == 'order_gone' then
    redis.call('DEL', key)
  elseif kind == 'sku' or kind == 'sku_new' then
    apply_sku(names, args, kind, key, first, last)
  elseif kind == 'sale' or kind == 'sale_new' then
    apply_sale(names, args, kind, key, first, last)
  else
    apply_sale_moved(names, args, key, first, last)
  end
end

-- Whether the keys that every batch may write to are what they should be.
local function look_at_fixed(names)
  local types = {
    [names.watermark] = 'hash', [names.skus] = 'set', [names.sales] = 'set',
    [names.events] = 'stream', [names.taken] = 'hash',
  }
  for key, wanted in pairs(types) do
    local found = type_of(key)
    if found ~= 'none' and found ~= wanted then
      return { 'odd', key, 'it is a ' .. found .. ' and no ' .. wanted }
    end
  end
end

-- Whether the stream ends before the batch.
local function look_at_stream(names, after)
  if type_of(names.events) == 'stream' then
    local info = redis.call('XINFO', 'STREAM', names.events)
    for at = 1, #info, 2 do
      if info[at] == 'last-generated-id' then
        local last = tonumber(string.match(info[at + 1], '^%d+'))
        if last > tonumber(after) then
          return { 'odd', names.events, 'somebody else has added the entry ' .. info[at + 1] }
        end
      end
    end
  end
end

-- Trims the stream, and remembers from where on it is whole.
local function trim(names, most)
  if redis.call('XTRIM', names.events, 'MAXLEN', '~', most) > 0 then
    local first = redis.call('XRANGE', names.events, '-', '+', 'COUNT', 1)[1]
    local from = first and string.match(first[1], '^%d+') or '0'
    redis.call('HSET', names.watermark, 'events_from', from)
  end
end

-- Stores a batch. KEYS: the watermark, the mark of an erasure, the sets of SKUs and sales, the
-- stream, which sales SKUs are in, and the key of each step. ARGV: the sequences behind which the
-- batch begins and with which it ends, the time of its last record, the journal, the layout, the
-- length of the stream, and the steps.
--
-- Answers `stored`, or why nothing was: `elsewhere`, `erasing`, `unfinished` and the end of the batch
-- that is, `lacking` and a key, or `odd`, a key and what is wrong with it. `broken`, and why, if only a
-- part was stored.
local function sluice_apply(keys, args)
  local names = {
    watermark = keys[1], skus = keys[3], sales = keys[4], events = keys[5], taken = keys[6],
    -- The SKUs of the sales that the batch is about, as far as it has come.
    lists = {},
  }
  local after, through, time, journal, layout = args[1], args[2], args[3], args[4], args[5]
  if redis.call('EXISTS', keys[2]) == 1 then
    return { 'erasing' }
  end
  local odd = look_at_fixed(names)
  if odd then
    return odd
  end
  local mark = redis.call('HMGET', names.watermark, 'sequence', 'journal', 'layout', 'unfinished')
  if mark[4] then
    return { 'unfinished', mark[4] }
  end
  if mark[1] then
    if mark[1] ~= after or mark[2] ~= journal or mark[3] ~= layout then
      return { 'elsewhere' }
    end
  elseif after ~= '0' then
    return { 'elsewhere' }
  end
  -- Behind the mark: one who has stored this batch meanwhile has added to the stream as well.
  local refused = look_at_stream(names, after) or walk(keys, args, 7, 7, function(kind, key, first, last)
    return look(names, args, kind, key, first, last)
  end)
  if refused then
    return refused
  end
  redis.call('HSET', names.watermark, 'unfinished', through)
  local fine, why = pcall(function()
    walk(keys, args, 7, 7, function(kind, key, first, last)
      apply(names, args, kind, key, first, last)
    end)
    trim(names, args[6])
    redis.call(
      'HSET', names.watermark, 'sequence', through, 'recorded_at', time, 'journal', journal,
      'layout', layout
    )
    redis.call('HDEL', names.watermark, 'unfinished')
  end)
  if not fine then
    return { 'broken', type(why) == 'table' and why.err or tostring(why) }
  end
  return { 'stored' }
end

-- Sets the mark of an erasure, unless somebody else has. ARGV: the caller's token, and milliseconds.
local function sluice_erasing(keys, args)
  return redis.call('SET', keys[1], args[1], 'NX', 'PX', args[2]) and 1 or 0
end

-- Removes keys for as long as the mark of the erasure is the caller's own, which it prolongs. KEYS:
-- the mark, and what is to be removed. ARGV: the caller's token, and milliseconds. Says how many
-- keys were there; -1 if the mark is somebody else's.
local function sluice_erase(keys, args)
  if redis.call('GET', keys[1]) ~= args[1] then
    return -1
  end
  redis.call('PEXPIRE', keys[1], args[2])
  local removed = 0
  for at = 2, #keys do
    removed = removed + redis.call('UNLINK', keys[at])
  end
  return removed
end

-- Gives the mark of an erasure up, if it is the caller's own.
local function sluice_erased(keys, args)
  if redis.call('GET', keys[1]) == args[1] then
    return redis.call('DEL', keys[1])
  end
  return 0
end

redis.register_function('sluice_apply', sluice_apply)
-- What gives memory back may run when there is none.
local function register_eraser(name, callback)
  redis.register_function { function_name = name, callback = callback, flags = { 'allow-oom' } }
end
register_eraser('sluice_erasing', sluice_erasing)
register_eraser('sluice_erase', sluice_erase)
register_eraser('sluice_erased', sluice_erased)
