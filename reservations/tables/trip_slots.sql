-- name: read
SELECT s.trip_id, s.trip_date, s.capacity, s.taken
FROM reservations.trip_slots AS s
JOIN unnest($1::uuid[], $2::date[]) AS wanted (trip_id, trip_date) USING (trip_id, trip_date);

-- name: lock
-- In the order of their keys, so that two batches never wait for each other in a circle.
SELECT s.trip_id, s.trip_date, s.capacity, s.taken
FROM reservations.trip_slots AS s
JOIN unnest($1::uuid[], $2::date[]) AS wanted (trip_id, trip_date) USING (trip_id, trip_date)
ORDER BY s.trip_id, s.trip_date
FOR UPDATE OF s;

-- name: open
INSERT INTO reservations.trip_slots (trip_id, trip_date, taken)
SELECT trip_id, trip_date, 0 FROM unnest($1::uuid[], $2::date[]) AS wanted (trip_id, trip_date)
ON CONFLICT DO NOTHING;

-- name: change
-- Locked in the order of their keys. A row is left out where the seats that are left do not allow for the peak; a
-- capacity that the catalog told is kept, but never below what is sold.
WITH changes AS (
  SELECT s.trip_id, s.trip_date, coalesce(u.capacity, s.capacity) AS capacity, s.taken, u.seats, u.peak
  FROM reservations.trip_slots AS s
  JOIN unnest($1::uuid[], $2::date[], $3::integer[], $4::integer[], $5::integer[])
    AS u (trip_id, trip_date, seats, peak, capacity) USING (trip_id, trip_date)
  ORDER BY s.trip_id, s.trip_date
  FOR UPDATE OF s
)
UPDATE reservations.trip_slots AS s
SET capacity = CASE WHEN c.capacity IS NOT NULL THEN greatest(c.capacity, c.taken + c.seats) END,
    taken = c.taken + c.seats
FROM changes AS c
WHERE s.trip_id = c.trip_id AND s.trip_date = c.trip_date AND (c.taken + c.peak <= c.capacity) IS NOT FALSE;

-- name: imbalances
-- Trip dates whose count differs from the seats of their active reservations.
WITH held AS (
  SELECT trip_id, trip_date, sum(party_size) AS seats
  FROM reservations.reservations
  WHERE status <> ALL ($1::varchar[])
  GROUP BY trip_id, trip_date
)
SELECT trip_id, trip_date, coalesce(s.taken, 0) AS counted, coalesce(held.seats, 0)::integer AS held
FROM reservations.trip_slots AS s
FULL JOIN held USING (trip_id, trip_date)
WHERE coalesce(s.taken, 0) <> coalesce(held.seats, 0)
ORDER BY trip_id, trip_date;

-- name: repair
INSERT INTO reservations.trip_slots AS s (trip_id, trip_date, taken)
SELECT * FROM unnest($1::uuid[], $2::date[], $3::integer[])
ON CONFLICT (trip_id, trip_date)
DO UPDATE SET taken = excluded.taken, capacity = CASE WHEN s.capacity IS NULL THEN NULL ELSE greatest(s.capacity, excluded.taken) END;

-- name: hold_still
-- Batches lock rows here before they take seats: none is under way while this is held.
LOCK TABLE reservations.trip_slots IN EXCLUSIVE MODE;

-- name: fullest
SELECT trip_id, trip_date, capacity, taken
FROM reservations.trip_slots
WHERE trip_date >= (now() AT TIME ZONE 'UTC')::date AND taken > 0
ORDER BY taken::float8 / capacity DESC NULLS LAST, taken DESC, trip_date, trip_id
LIMIT $1;
