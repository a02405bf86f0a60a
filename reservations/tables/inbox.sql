-- name: of_messages
SELECT message_id, fingerprint, outcome, publications, released
FROM reservations.inbox
WHERE message_id = ANY ($1::uuid[]);

-- name: take_turns
-- The ids come sorted, so that two batches never wait for each other in a circle.
SELECT pg_advisory_xact_lock(hashtextextended(id, 0)) FROM unnest($1::text[]) AS id;

-- name: waiting_for
SELECT reservation_id, parked
FROM reservations.inbox
WHERE outcome IS NULL AND reservation_id = ANY ($1::uuid[])
ORDER BY message_id
FOR UPDATE;

-- name: waiting_since
-- What another job has locked at this moment is being dealt with.
SELECT parked
FROM reservations.inbox
WHERE outcome IS NULL AND processed_at < $1
ORDER BY processed_at
LIMIT $2
FOR UPDATE SKIP LOCKED;

-- name: insert
INSERT INTO reservations.inbox
       (message_id, kind, reservation_id, fingerprint, outcome, publications, parked, released,
        issued_by)
SELECT * FROM unnest($1::uuid[], $2::varchar[], $3::uuid[], $4::uuid[], $5::json[], $6::json[], $7::json[], $8::json[],
                     $9::varchar[])
ORDER BY 1;

-- name: answer
UPDATE reservations.inbox AS i
SET outcome = u.outcome, publications = u.publications, parked = u.parked, processed_at = now()
FROM unnest($1::uuid[], $2::json[], $3::json[], $4::json[]) AS u (message_id, outcome, publications, parked)
WHERE i.message_id = u.message_id AND (i.outcome IS NULL OR i.outcome ->> 'outcome' = 'dead_lettered');

-- name: outcome_of
SELECT outcome FROM reservations.inbox WHERE message_id = $1 AND ($2::varchar IS NULL OR issued_by = $2);

-- name: prune
-- What another worker has locked at this moment, it deletes.
DELETE FROM reservations.inbox
WHERE message_id = ANY (ARRAY (
  SELECT message_id FROM reservations.inbox
  WHERE outcome IS NOT NULL AND processed_at < $1
  ORDER BY processed_at
  LIMIT $2
  FOR UPDATE SKIP LOCKED
));

-- name: entry
SELECT message_id, kind, reservation_id, issued_by, outcome, publications, parked, released, processed_at
FROM reservations.inbox
WHERE message_id = $1;
