-- name: reservations
SELECT
  r.reservation_id, r._rev, upper(r.status) AS status, r.party_size, r.trip_date::text, r.guest_id,
  ARRAY (
    SELECT p.participant_id FROM reservations.participants AS p
    WHERE p.reservation_id = r.reservation_id ORDER BY p.participant_id
  ) AS participants
FROM reservations.reservations AS r;

-- name: inbox
SELECT message_id, outcome::text FROM reservations.inbox;

-- name: gaps
-- Each applied command made one revision: together they are 1, 2, ... up to the one the reservation has.
SELECT reservation_id
FROM reservations.reservations AS r
LEFT JOIN (
  SELECT reservation_id, array_agg(rev ORDER BY rev) AS revs
  FROM (
    SELECT reservation_id, (outcome -> 'reservation' ->> '_rev')::integer AS rev
    FROM reservations.inbox
    WHERE outcome ->> 'outcome' = 'applied'
  ) AS applied
  GROUP BY reservation_id
) AS told USING (reservation_id)
WHERE told.revs IS DISTINCT FROM (SELECT array_agg(n ORDER BY n) FROM generate_series(1, r._rev) AS n);

-- name: history
-- The steps begin with nothing, each begins where the one before ended, and the last ends at the status.
SELECT reservation_id
FROM reservations.reservations AS r
FULL JOIN (
  SELECT
    reservation_id,
    (array_agg(new_status ORDER BY rev DESC))[1] AS last,
    bool_and(old_status IS NOT DISTINCT FROM before AND (old_status IS NULL) = (rev = 1)) AS leads
  FROM (
    SELECT
      reservation_id, old_status, new_status, (details ->> '_rev')::integer AS rev,
      lag(new_status) OVER (PARTITION BY reservation_id ORDER BY (details ->> '_rev')::integer) AS before
    FROM reservations.status_history
  ) AS step
  GROUP BY reservation_id
) AS steps USING (reservation_id)
WHERE steps.last IS DISTINCT FROM r.status OR steps.leads IS NOT TRUE;

-- name: guest_days
SELECT coalesce(d.reservation_id, r.reservation_id) AS reservation_id
FROM reservations.guest_days AS d
FULL JOIN (
  SELECT * FROM reservations.reservations WHERE status NOT IN ('completed', 'cancelled', 'no_show')
) AS r USING (guest_id, trip_date)
WHERE d.reservation_id IS DISTINCT FROM r.reservation_id;

-- name: now
SELECT clock_timestamp();

-- name: last_replayed
SELECT pg_last_xact_replay_timestamp();

-- name: segment
SELECT pg_walfile_name(pg_current_wal_lsn());

-- name: archived
SELECT coalesce(left(last_archived_wal, 24), '') FROM pg_stat_archiver;

-- name: size
SELECT pg_database_size(current_database());
