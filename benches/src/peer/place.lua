-- Places one order. Gives 1 if it is new, the order's id if its key is known, 0 if too little is
-- available, -1 if the buyer would have too much.
-- KEYS  the buyer's key, the SKU's units available, units by buyer, the order
-- ARGV  the order's id, buyer, SKU, units, most units of one buyer, unit price, time
local earlier = redis.call('GET', KEYS[1])
if earlier then return earlier end
local units = tonumber(ARGV[4])
local bought = tonumber(redis.call('HGET', KEYS[3], ARGV[2]) or 0)
if bought + units > tonumber(ARGV[5]) then return -1 end
local available = tonumber(redis.call('GET', KEYS[2]) or 0)
if available < units then return 0 end
redis.call('DECRBY', KEYS[2], ARGV[4])
redis.call('HINCRBY', KEYS[3], ARGV[2], ARGV[4])
redis.call('SET', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[4], 'buyer', ARGV[2], 'sku', ARGV[3], 'quantity', ARGV[4],
    'unit_price', ARGV[6], 'status', 'reserved', 'created_at', ARGV[7])
return 1
