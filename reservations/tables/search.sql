-- name: page
SELECT reservation_id, guest_id, trip_id, confirmation_code, status, trip_date, party_size, total_amount, currency,
       _rev, created_at, updated_at, details
FROM reservations.reservations
WHERE ($1::uuid IS NULL OR guest_id = $1)
  AND ($2::uuid IS NULL OR trip_id = $2)
  AND ($3::varchar IS NULL OR status = $3)
  AND ($4::date IS NULL OR trip_date >= $4)
  AND ($5::date IS NULL OR trip_date <= $5)
  AND ($6::varchar IS NULL OR confirmation_code = $6)
  AND ($7::integer IS NULL OR party_size = $7)
  AND ($8::uuid IS NULL OR reservation_id < $8)
ORDER BY reservation_id DESC
LIMIT $9 OFFSET $10;

-- name: count
SELECT count(*) FROM (
  SELECT FROM reservations.reservations
  WHERE ($1::uuid IS NULL OR guest_id = $1)
    AND ($2::uuid IS NULL OR trip_id = $2)
    AND ($3::varchar IS NULL OR status = $3)
    AND ($4::date IS NULL OR trip_date >= $4)
    AND ($5::date IS NULL OR trip_date <= $5)
    AND ($6::varchar IS NULL OR confirmation_code = $6)
    AND ($7::integer IS NULL OR party_size = $7)
  LIMIT $8
) AS found;
