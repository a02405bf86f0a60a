-- name: of_reservation
SELECT history_id, old_status, new_status, changed_by, reason, changed_at, details
FROM reservations.status_history
WHERE reservation_id = $1 AND history_id BETWEEN $2 AND $3
ORDER BY (details ->> '_rev')::integer;

-- name: insert
INSERT INTO reservations.status_history
       (history_id, reservation_id, old_status, new_status, changed_by, reason, changed_at, details)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::varchar[], $4::varchar[], $5::varchar[], $6::text[],
                     $7::timestamptz[], $8::jsonb[]);
