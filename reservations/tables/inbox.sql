-- name: of_messages
SELECT message_id, fingerprint, outcome, publications
FROM reservations.inbox
WHERE message_id = ANY ($1::uuid[]);

-- name: insert
INSERT INTO reservations.inbox (message_id, kind, reservation_id, fingerprint, outcome, publications)
SELECT * FROM unnest($1::uuid[], $2::varchar[], $3::uuid[], $4::uuid[], $5::json[], $6::json[])
ORDER BY 1;

-- name: outcome_of
SELECT outcome FROM reservations.inbox WHERE message_id = $1;
