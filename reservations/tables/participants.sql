-- name: of_reservations
SELECT reservation_id, participant_id, guest_id, role, waiver_signed, details
FROM reservations.participants
WHERE reservation_id = ANY ($1::uuid[]) AND participant_id BETWEEN $2 AND $3
ORDER BY participant_id;

-- name: insert
INSERT INTO reservations.participants
       (participant_id, reservation_id, guest_id, role, waiver_signed, created_at, details)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::varchar[], $5::boolean[], $6::timestamptz[], $7::jsonb[]);

-- name: update
UPDATE reservations.participants AS p
SET waiver_signed = u.waiver_signed, details = p.details || u.details
FROM unnest($3::uuid[], $4::boolean[], $5::jsonb[]) AS u (participant_id, waiver_signed, details)
WHERE p.participant_id = u.participant_id AND p.participant_id BETWEEN $1 AND $2;
