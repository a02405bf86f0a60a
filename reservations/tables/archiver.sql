-- name: read
-- Whether the last attempt failed is told by the later of the two times: the counts go on since the server was made.
SELECT
  current_setting('archive_mode') <> 'off' AS is_on,
  pg_is_in_recovery() AS is_standby,
  extract(epoch FROM now() - last_archived_time)::float AS age_s,
  failed_count,
  coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false) AS is_failing
FROM pg_stat_archiver;

-- name: mark
-- A few bytes of WAL: a database where nothing happens would switch to no new segment, and so would archive none.
SELECT pg_logical_emit_message(false, 'reservations', 'backup status')
WHERE NOT pg_is_in_recovery();
