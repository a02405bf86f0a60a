-- name: bookings
-- What the guest booked, and what the guest takes part in.
SELECT reservation_id FROM reservations.reservations WHERE guest_id = $1
UNION
SELECT reservation_id FROM reservations.participants WHERE guest_id = $1
ORDER BY reservation_id;

-- name: lock
-- In the order of their ids, as the worker locks them.
SELECT reservation_id
FROM reservations.reservations
WHERE reservation_id = ANY ($1::uuid[]) AND reservation_id BETWEEN $2 AND $3
ORDER BY reservation_id
FOR UPDATE;

-- name: clearances
UPDATE reservations.participants
SET details = details || '{"medical_clearance": false}'
WHERE reservation_id = ANY ($1::uuid[]) AND participant_id BETWEEN $2 AND $3 AND guest_id = $4
  AND details @> '{"medical_clearance": true}'
RETURNING reservation_id;

-- name: reasons
UPDATE reservations.status_history AS h
SET reason = NULL
FROM reservations.reservations AS r
WHERE h.reservation_id = ANY ($1::uuid[]) AND h.history_id BETWEEN $2 AND $3 AND h.reason <> ALL ($5::text[])
  AND r.reservation_id = h.reservation_id AND r.reservation_id = ANY ($1::uuid[]) AND r.guest_id = $4
RETURNING h.reservation_id;

-- name: details
-- A new revision for each that is no longer as it was read: in itself, its party or its history.
UPDATE reservations.reservations
SET details = CASE WHEN guest_id = $4
                   THEN details || '{"special_requirements": null, "emergency_contact": null}' ELSE details END,
    _rev = _rev + 1, updated_at = greatest(updated_at, now())
WHERE reservation_id = ANY ($1::uuid[]) AND reservation_id BETWEEN $2 AND $3
  AND (reservation_id = ANY ($5::uuid[])
       OR guest_id = $4 AND coalesce(details ->> 'special_requirements', details ->> 'emergency_contact') IS NOT NULL);

-- name: entries
-- The whole inbox is read, once for a run: an index for this alone would cost every command.
SELECT message_id
FROM reservations.inbox
JOIN unnest($1::uuid[]) AS booking (reservation_id) USING (reservation_id)
ORDER BY message_id;

-- name: lock_entries
SELECT message_id, outcome, publications, released
FROM reservations.inbox
WHERE message_id = ANY ($1::uuid[]) AND outcome IS NOT NULL
ORDER BY message_id
FOR UPDATE;

-- name: rewrite_entries
UPDATE reservations.inbox AS i
SET outcome = u.outcome, publications = u.publications, released = u.released
FROM unnest($1::uuid[], $2::json[], $3::json[], $4::json[]) AS u (message_id, outcome, publications, released)
WHERE i.message_id = u.message_id;
