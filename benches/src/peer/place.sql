-- Places one order in one statement, which is a transaction: no row if too little is available, an
-- error if there was enough and the key is known.
WITH taken AS (
    UPDATE stock SET available = available - $5::bigint
    WHERE sku = $4::text AND available >= $5::bigint
    RETURNING sku
)
INSERT INTO orders (order_id, buyer, key, sku, quantity, unit_price, status, created_at)
SELECT $1::text, $2::text, $3::text, sku, $5::bigint, $6::bigint, 'reserved', now() FROM taken
