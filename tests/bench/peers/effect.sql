-- name: told
SELECT message_id, outcome, publications FROM reservations.inbox WHERE message_id = ANY ($1::uuid[]);

-- name: remember
INSERT INTO reservations.inbox (message_id, kind, reservation_id, fingerprint, outcome, publications)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING;

-- name: take_seats
-- Locks the trip date, and lets its constraint refuse what it has no seats for.
INSERT INTO reservations.trip_slots AS slot (trip_id, trip_date, taken)
VALUES ($1, $2, $3)
ON CONFLICT (trip_id, trip_date) DO UPDATE SET taken = slot.taken + excluded.taken;

-- name: claim_day
INSERT INTO reservations.guest_days (guest_id, trip_date, reservation_id)
VALUES ($1, $2, $3);

-- name: reserve
INSERT INTO reservations.reservations
       (reservation_id, guest_id, trip_id, confirmation_code, trip_date, party_size, total_amount, created_at,
        updated_at, details)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- name: join_party
INSERT INTO reservations.participants (participant_id, reservation_id, guest_id, role, created_at, details)
SELECT participant_id, $1, guest_id, role, $2, $3
FROM unnest($4::uuid[], $5::uuid[], $6::varchar[]) AS party (participant_id, guest_id, role);

-- name: record
INSERT INTO reservations.status_history (history_id, reservation_id, new_status, changed_by, changed_at, details)
VALUES ($1, $2, 'confirmed', $3, $4, $5);
