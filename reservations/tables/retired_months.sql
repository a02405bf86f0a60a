-- name: oldest
SELECT min(to_date(right(leaf.relname, 7), 'YYYY_MM'))
FROM pg_inherits JOIN pg_class AS leaf ON leaf.oid = inhrelid
WHERE inhparent = 'reservations.reservations'::regclass;

-- name: detached
-- Months whose reservations are there, but not among those that can be read.
SELECT to_date(right(relname, 7), 'YYYY_MM') AS month
FROM pg_class
WHERE relnamespace = 'reservations'::regnamespace AND relkind = 'r' AND NOT relispartition
  AND relname ~ '^reservations_[0-9]{4}_[0-9]{2}$'
ORDER BY month;

-- name: holding
-- How many reservations of a month are not at their end, lie ahead, or are waited for.
SELECT count(*) FILTER (WHERE status NOT IN ('completed', 'cancelled', 'no_show')) AS open,
       count(*) FILTER (WHERE trip_date >= $1) AS ahead,
       (SELECT count(*) FROM reservations.inbox
        WHERE outcome IS NULL
          AND reservation_id BETWEEN reservations.uuid7_floor($2::timestamptz)
                                 AND reservations.uuid7_floor($2::timestamptz + interval '1 month')) AS waiting
FROM reservations.reservations_{month};

-- name: hold_still
LOCK TABLE reservations.reservations_{month}, reservations.participants_{month}, reservations.status_history_{month}
IN SHARE MODE;

-- name: detach
ALTER TABLE reservations.participants DETACH PARTITION reservations.participants_{month};
ALTER TABLE reservations.status_history DETACH PARTITION reservations.status_history_{month};
ALTER TABLE reservations.reservations DETACH PARTITION reservations.reservations_{month};

-- name: drop
DROP TABLE reservations.participants_{month}, reservations.status_history_{month}, reservations.reservations_{month};

-- name: rows_in_order
SELECT {columns} FROM reservations.{table} ORDER BY {key};

-- name: columns
SELECT array_agg(attname::text ORDER BY attnum)
FROM pg_attribute
WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped;

-- name: sizes
SELECT to_date(right(relname, 7), 'YYYY_MM') AS month, relispartition AS attached,
       sum(pg_total_relation_size(oid))::bigint AS size_bytes,
       max(nullif(reltuples, -1)) FILTER (WHERE relname LIKE 'reservations%')::bigint AS rows
FROM pg_class
WHERE relnamespace = 'reservations'::regnamespace AND relkind = 'r'
  AND relname ~ '^(reservations|participants|status_history)_[0-9]{4}_[0-9]{2}$'
GROUP BY month, attached
ORDER BY month;

-- name: ids
SELECT (SELECT reservation_id FROM reservations.reservations_{month} ORDER BY reservation_id LIMIT 1) AS first_id,
       (SELECT reservation_id FROM reservations.reservations_{month} ORDER BY reservation_id DESC LIMIT 1) AS last_id;

-- name: count
SELECT count(*) FROM reservations.reservations_{month};
