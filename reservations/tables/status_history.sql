-- name: of_reservation
SELECT history_id, old_status, new_status, changed_by, reason, changed_at, details
FROM reservations.status_history
WHERE reservation_id = $1 AND history_id BETWEEN $2 AND $3
ORDER BY (details ->> '_rev')::integer;

-- name: told_since
SELECT h.reservation_id, h.history_id, i.publications
FROM unnest($1::uuid[], $2::integer[]) AS since (reservation_id, rev)
JOIN reservations.status_history AS h
  ON h.reservation_id = since.reservation_id AND (h.details ->> '_rev')::integer >= since.rev
JOIN reservations.inbox AS i ON i.message_id = (h.details ->> 'command_id')::uuid
WHERE h.history_id BETWEEN $3 AND $4
ORDER BY (h.details ->> '_rev')::integer;

-- name: insert
INSERT INTO reservations.status_history
       (history_id, reservation_id, old_status, new_status, changed_by, reason, changed_at, details)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::varchar[], $4::varchar[], $5::varchar[], $6::text[],
                     $7::timestamptz[], $8::jsonb[]);

-- name: told_between
-- Changes of a span of time, with what their events need of the reservation as it is now, and with what was published
-- where that is known still; by reservation, and in the order of its revisions.
SELECT h.reservation_id, h.history_id, h.old_status, h.new_status, h.changed_by, h.reason, h.changed_at, h.details,
       r.guest_id, r.trip_id, r.trip_date, r.party_size, r.confirmation_code, i.publications
FROM reservations.status_history AS h
JOIN reservations.reservations AS r ON r.reservation_id = h.reservation_id
LEFT JOIN reservations.inbox AS i ON i.message_id = (h.details ->> 'command_id')::uuid
WHERE h.changed_at >= $1 AND h.changed_at < $2 AND h.history_id BETWEEN $3 AND $4 AND r.reservation_id BETWEEN $3 AND $4
  AND ($5::uuid IS NULL OR h.reservation_id = $5)
ORDER BY h.reservation_id, (h.details ->> '_rev')::integer;

-- name: count_between
SELECT count(*) FROM reservations.status_history
WHERE changed_at >= $1 AND changed_at < $2 AND history_id BETWEEN $3 AND $4
  AND ($5::uuid IS NULL OR reservation_id = $5);
