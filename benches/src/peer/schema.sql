-- What the PostgreSQL peer keeps. Room is left beside the stock's row for its next versions, so
-- that an update stays within the page and touches no index.
CREATE TABLE stock (
    sku text PRIMARY KEY,
    available bigint NOT NULL CHECK (available >= 0)
) WITH (fillfactor = 10);

CREATE TABLE orders (
    order_id text COLLATE "C" PRIMARY KEY,
    buyer text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    sku text NOT NULL,
    quantity bigint NOT NULL,
    unit_price bigint NOT NULL,
    status text NOT NULL,
    created_at timestamptz NOT NULL,
    UNIQUE (buyer, key)
);
