CREATE TABLE IF NOT EXISTS orders (
    id            text PRIMARY KEY,
    legacy_ref    text UNIQUE,            -- the legacy order's number, for imported orders
    client_ref    text UNIQUE,
    customer_id   integer,
    status        text,                   -- NULL: only lines or payments were imported so far
    gift          boolean NOT NULL DEFAULT false,
    note          text,
    ordered_at    timestamptz,
    shipped_at    timestamptz,
    by_api        boolean NOT NULL DEFAULT false,
    status_by_api boolean NOT NULL DEFAULT false,
    imported_seq  text COLLATE "C"        -- newest imported event of the legacy header
);
CREATE INDEX IF NOT EXISTS orders_customer ON orders (customer_id);

CREATE TABLE IF NOT EXISTS order_lines (
    order_id      text NOT NULL REFERENCES orders ON DELETE CASCADE,
    line_no       integer NOT NULL,
    sku           text NOT NULL,
    warehouse     text NOT NULL,
    qty           integer NOT NULL,
    unit_price    numeric(12,2) NOT NULL,
    by_api        boolean NOT NULL DEFAULT false,
    imported_seq  text COLLATE "C",
    PRIMARY KEY (order_id, line_no)
);

CREATE TABLE IF NOT EXISTS payments (
    order_id      text NOT NULL REFERENCES orders ON DELETE CASCADE,
    payment_ref   text NOT NULL,
    method        text NOT NULL,
    amount        numeric(12,2) NOT NULL,
    paid_at       timestamptz NOT NULL,
    PRIMARY KEY (order_id, payment_ref)
);

CREATE TABLE IF NOT EXISTS status_history (  -- what the API did, in the order in which it did it
    entry_no      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id      text NOT NULL REFERENCES orders ON DELETE CASCADE,
    status        text NOT NULL,
    changed_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX IF NOT EXISTS status_history_order ON status_history (order_id);

CREATE TABLE IF NOT EXISTS idempotency (
    key           text PRIMARY KEY,
    fingerprint   text NOT NULL,
    status        integer,
    body          bytea,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
