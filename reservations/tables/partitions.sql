-- name: ensure_month
SELECT reservations.ensure_month($1);

-- name: months
-- A month exists when all three tables have a partition for it.
SELECT to_date(right(leaf.relname, 7), 'YYYY_MM') AS month
FROM pg_inherits
JOIN pg_class AS leaf ON leaf.oid = inhrelid
WHERE NOT inhdetachpending
  AND inhparent IN ('reservations.reservations'::regclass,
                    'reservations.participants'::regclass,
                    'reservations.status_history'::regclass)
GROUP BY month
HAVING count(*) = 3
ORDER BY month;
