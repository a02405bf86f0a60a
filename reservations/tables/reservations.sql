-- name: lock
-- Rows are locked in the order of their ids, so that two batches never wait for each other in a circle.
SELECT reservation_id, guest_id, trip_id, confirmation_code, status, trip_date, party_size, total_amount, currency,
       _rev, created_at, updated_at, details
FROM reservations.reservations
WHERE reservation_id = ANY ($1::uuid[]) AND reservation_id BETWEEN $2 AND $3
ORDER BY reservation_id
FOR UPDATE;

-- name: insert
INSERT INTO reservations.reservations
       (reservation_id, guest_id, trip_id, confirmation_code, status, trip_date, party_size, total_amount, currency,
        _rev, created_at, updated_at, details)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::varchar[], $5::varchar[], $6::date[], $7::integer[],
                     $8::numeric[], $9::bpchar[], $10::integer[], $11::timestamptz[], $12::timestamptz[], $13::jsonb[]);

-- name: update
-- Details are merged, so that a field which only a newer release knows survives an older one.
UPDATE reservations.reservations AS r
SET status = u.status, trip_date = u.trip_date, party_size = u.party_size, total_amount = u.total_amount,
    _rev = u.rev, updated_at = u.updated_at, details = r.details || u.details
FROM unnest($3::uuid[], $4::integer[], $5::varchar[], $6::date[], $7::integer[], $8::numeric[], $9::integer[],
            $10::timestamptz[], $11::jsonb[])
     AS u (reservation_id, read_rev, status, trip_date, party_size, total_amount, rev, updated_at, details)
WHERE r.reservation_id = u.reservation_id AND r.reservation_id BETWEEN $1 AND $2 AND r._rev = u.read_rev;

-- name: find
SELECT reservation_id::text, guest_id::text, trip_id::text, confirmation_code, status, trip_date, party_size,
       total_amount, currency, _rev, created_at, updated_at, details,
       ARRAY (SELECT (participant_id::text, guest_id::text, role, waiver_signed, details)
              FROM reservations.participants
              WHERE reservation_id = $1 AND participant_id BETWEEN $2 AND $3
              ORDER BY participant_id) AS party
FROM reservations.reservations
WHERE reservation_id = $1
  AND ($4::uuid IS NULL OR guest_id = $4) AND ($5::text IS NULL OR details ->> 'partner_id' = $5);

-- name: booked
-- What of a reservation never changes, and its party so far; read without a lock.
SELECT r.reservation_id, r.trip_id, r.guest_id,
       ARRAY (SELECT p.guest_id FROM reservations.participants AS p
              WHERE p.reservation_id = r.reservation_id AND p.participant_id BETWEEN $4 AND $5) AS party
FROM reservations.reservations AS r
WHERE r.reservation_id = ANY ($1::uuid[]) AND r.reservation_id BETWEEN $2 AND $3;
