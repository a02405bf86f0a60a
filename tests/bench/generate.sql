-- name: remember_indexes
-- What is dropped for the filling is kept here, so that a run that was interrupted can be gone on with.
CREATE TABLE IF NOT EXISTS reservations.indexes_to_build AS
SELECT index.relname AS name, pg_get_indexdef(index.oid) AS definition
FROM pg_index
JOIN pg_class AS index ON index.oid = indexrelid AND index.relkind = 'I'
JOIN pg_class AS parent ON parent.oid = indrelid
WHERE parent.relnamespace = 'reservations'::regnamespace AND NOT indisprimary;

-- name: indexes
SELECT name, definition, to_regclass('reservations.' || name) IS NOT NULL AS is_there
FROM reservations.indexes_to_build ORDER BY name;

-- name: forget_indexes
DROP TABLE reservations.indexes_to_build;

-- name: is_filled
SELECT EXISTS (
  SELECT FROM reservations.reservations
  WHERE reservation_id >= reservations.uuid7_floor($1) AND reservation_id < reservations.uuid7_floor($2)
);

-- name: reservations
-- Rows $3 to $4 - 1, evenly made between two instants. All of a row comes from two hashes of its number and the seed.
INSERT INTO reservations.reservations
       (reservation_id, guest_id, trip_id, confirmation_code, status, trip_date, party_size, total_amount, currency,
        _rev, created_at, updated_at, details)
WITH numbered AS (
  SELECT n,
         date_trunc('milliseconds', $1::timestamptz + ($2::timestamptz - $1::timestamptz) * ((n - $3::bigint)::float8 / ($4 - $3))) AS made,
         hashint8extended(n, $5::bigint) AS a,
         hashint8extended(n, $5::bigint + 1) AS b
  FROM generate_series($3::bigint, $4::bigint - 1) AS n
), drawn AS (
  SELECT n, made, a, b,
         (a & 1048575) / 1048576.0::float8 AS by_guest,
         (a >> 20 & 1048575) / 1048576.0::float8 AS by_trip,
         (a >> 40 & 1048575) / 1048576.0::float8 AS by_day,
         (b & 1048575) / 1048576.0::float8 AS by_status,
         (b >> 20 & 1023) / 1024.0::float8 AS by_size,
         (b >> 30 & 1023) / 1024.0::float8 AS by_kind
  FROM numbered
), chosen AS (
  SELECT *,
         made::date + CASE WHEN by_kind < 0.03 THEN 180 + floor(365 * by_day) ELSE floor(180 * power(by_day, 1.5)) END::integer AS day,
         1 + floor(19.99 * power(by_size, 4))::integer AS size,
         -- Nine of ten bookings are by anybody, the others by 2,000 guests who travel often and 20 who book for others.
         CASE WHEN by_kind < 0.9 THEN floor($6::integer * by_guest)
              WHEN by_kind < 0.99 THEN floor(2000 * by_guest) ELSE -1 - floor(20 * by_guest) END::bigint AS guest,
         floor($7::integer * power(by_trip, 1.3))::bigint AS trip
  FROM drawn
)
SELECT (lpad(to_hex((date_part('epoch', made) * 1000)::bigint), 12, '0') || '7' || lpad(to_hex(a & 4095), 3, '0')
        || to_hex(8 + (a >> 12 & 3)) || lpad(to_hex(b & 1152921504606846975), 15, '0'))::uuid,
       md5('guest ' || guest || ' ' || $5)::uuid,
       md5('trip ' || trip || ' ' || $5)::uuid,
       -- Odd multipliers permute the numbers below 2^40: no code comes twice.
       (SELECT reservations.month_code($1::timestamptz::date)) || upper(lpad(to_hex((n * 339852778687) & 1099511627775), 10, '0')),
       CASE WHEN by_status < 0.03 THEN 'cancelled'
            WHEN day < $8::date AND by_status < 0.05 THEN 'no_show'
            WHEN day < $8::date THEN 'completed'
            WHEN day = $8::date AND by_status < 0.3 THEN 'in_progress'
            WHEN day = $8::date AND by_status < 0.6 THEN 'checked_in'
            WHEN made > $8::date AND by_status < 0.2 THEN 'pending'
            WHEN by_status < 0.25 THEN 'gear_assigned'
            ELSE 'confirmed' END,
       day,
       size,
       (size * (49 + trip % 400))::numeric(10,2),
       CASE WHEN trip % 10 = 0 THEN 'CAD' ELSE 'USD' END,
       1,
       made,
       made,
       '{"told": {"lane": "reservation.commands", "since_rev": 1}, "payments": [], "promo_code": null,
         "paid_amount": 0.0, "booking_source": "WEB_DIRECT", "gear_package_id": null, "emergency_contact": null,
         "payment_reference": null, "special_requirements": null}'::jsonb
FROM chosen ORDER BY n;

-- name: guest_days
-- A guest has one active reservation for a day: the first one made.
INSERT INTO reservations.guest_days (guest_id, trip_date, reservation_id)
SELECT guest_id, trip_date, reservation_id FROM reservations.reservations
WHERE reservation_id >= reservations.uuid7_floor($1) AND reservation_id < reservations.uuid7_floor($2)
  AND status <> ALL ($3::varchar[])
ORDER BY reservation_id
ON CONFLICT DO NOTHING;

-- name: second_bookings
-- Those that got no day are cancelled.
UPDATE reservations.reservations AS r SET status = 'cancelled'
WHERE reservation_id >= reservations.uuid7_floor($1) AND reservation_id < reservations.uuid7_floor($2)
  AND status <> ALL ($3::varchar[])
  AND NOT EXISTS (SELECT FROM reservations.guest_days AS d
                  WHERE d.guest_id = r.guest_id AND d.trip_date = r.trip_date AND d.reservation_id = r.reservation_id);

-- name: participants
-- The one who booked, and in half of the larger parties a companion.
INSERT INTO reservations.participants
       (participant_id, reservation_id, guest_id, role, waiver_signed, created_at, details)
SELECT overlay(overlay(reservation_id::text PLACING lpad(to_hex(place), 3, '0') FROM 16 FOR 3)
               PLACING left(md5(reservation_id::text || place), 12) FROM 25)::uuid,
       reservation_id,
       CASE place WHEN 0 THEN guest_id ELSE md5('companion of ' || guest_id)::uuid END,
       CASE place WHEN 0 THEN 'primary' ELSE 'guest' END,
       true,
       created_at,
       '{"checked_in": false, "check_in_time": null, "gear_assignment_id": null, "medical_clearance": false}'::jsonb
FROM reservations.reservations
CROSS JOIN LATERAL generate_series(0, CASE WHEN party_size > 1 THEN hashtext(confirmation_code) & 1 ELSE 0 END) AS place
WHERE reservation_id >= reservations.uuid7_floor($1) AND reservation_id < reservations.uuid7_floor($2);

-- name: status_history
-- One row for each: it came to be in the status it has.
INSERT INTO reservations.status_history
       (history_id, reservation_id, new_status, changed_by, changed_at, details)
SELECT overlay(overlay(reservation_id::text PLACING '001' FROM 16 FOR 3)
               PLACING left(md5(reservation_id::text), 12) FROM 25)::uuid,
       reservation_id, status, 'generated', created_at,
       jsonb_build_object('_rev', 1, 'command_id', md5('command ' || reservation_id)::uuid)
FROM reservations.reservations
WHERE reservation_id >= reservations.uuid7_floor($1) AND reservation_id < reservations.uuid7_floor($2);

-- name: trip_slots
INSERT INTO reservations.trip_slots (trip_id, trip_date, capacity, taken)
SELECT trip_id, trip_date, NULL, coalesce(sum(party_size) FILTER (WHERE status <> ALL ($1::varchar[])), 0)
FROM reservations.reservations
GROUP BY trip_id, trip_date
ON CONFLICT (trip_id, trip_date) DO UPDATE SET taken = excluded.taken;
