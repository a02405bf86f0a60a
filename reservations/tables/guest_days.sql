-- name: held
SELECT d.guest_id, d.trip_date, d.reservation_id
FROM reservations.guest_days AS d
JOIN unnest($1::uuid[], $2::date[]) AS wanted (guest_id, trip_date) USING (guest_id, trip_date);

-- name: free
DELETE FROM reservations.guest_days AS d
USING unnest($1::uuid[], $2::date[], $3::uuid[]) AS u (guest_id, trip_date, reservation_id)
WHERE d.guest_id = u.guest_id AND d.trip_date = u.trip_date AND d.reservation_id = u.reservation_id;

-- name: claim
INSERT INTO reservations.guest_days (guest_id, trip_date, reservation_id)
SELECT * FROM unnest($1::uuid[], $2::date[], $3::uuid[]);
