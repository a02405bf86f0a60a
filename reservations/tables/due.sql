-- name: take_the_clock
SELECT pg_try_advisory_xact_lock(hashtextextended('reservations.clock', 0));

-- name: unpaid_holds
SELECT reservation_id, _rev
FROM reservations.reservations
WHERE status = 'pending' AND created_at < $1
ORDER BY reservation_id
LIMIT $2;

-- name: no_shows
SELECT reservation_id, _rev
FROM reservations.reservations
WHERE status IN ('confirmed', 'gear_assigned') AND trip_date <= $1
ORDER BY reservation_id
LIMIT $2;
