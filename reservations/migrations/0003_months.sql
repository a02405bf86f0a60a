-- The lowest UUID whose 48-bit time prefix is the given instant, floored to the millisecond.
CREATE FUNCTION reservations.uuid7_floor(instant timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (lpad(to_hex(floor(extract(epoch FROM instant) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid;

-- The instant in a UUIDv7's time prefix.
CREATE FUNCTION reservations.uuid7_time(id uuid) RETURNS timestamptz
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN to_timestamp(('x0000' || left(replace(id::text, '-', ''), 12))::bit(64)::bigint / 1000.0);

-- The two Crockford base-32 characters a month's confirmation codes begin with: its number, counted from 2000-01.
-- Null outside 2000-01 to 2085-04, the 1,024 months that two characters can tell apart.
CREATE FUNCTION reservations.month_code(any_day date) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (
  SELECT substr(digits, number / 32 + 1, 1) || substr(digits, number % 32 + 1, 1)
  FROM (SELECT '0123456789ABCDEFGHJKMNPQRSTVWXYZ',
               (extract(year FROM any_day)::integer - 2000) * 12 + extract(month FROM any_day)::integer - 1)
    AS month (digits, number)
  WHERE number BETWEEN 0 AND 1023
);

-- Make the three tables of one month unless they exist; true when they were made.
-- They are built on their own and then attached, which lets reads and writes of the other months go on; CREATE TABLE ...
-- PARTITION OF would shut them out. A foreign key goes from a month's table to the same month's reservations, so
-- checking it looks at one table, and attaching or detaching a month never touches another.
-- The limit on lock waits keeps a month that can't be attached from holding up the writes that queue behind it.
-- It runs with its owner's rights, so that the worker can call it without being able to alter a table.
CREATE FUNCTION reservations.ensure_month(any_day date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, reservations, pg_temp
SET timezone = 'UTC'
SET lock_timeout = '2s'
AS $$
DECLARE
  first_day       date := date_trunc('month', any_day);
  starts_at       timestamptz := first_day;
  ends_at         timestamptz := first_day + interval '1 month';
  code            text := month_code(first_day);
  suffix          text := to_char(first_day, '_YYYY_MM');
  of_reservations text := 'reservations' || suffix;
  parent          text;
BEGIN
  IF code IS NULL THEN
    RAISE EXCEPTION 'month % is outside 2000-01 to 2085-04', to_char(first_day, 'YYYY-MM')
      USING ERRCODE = 'invalid_parameter_value';
  END IF;
  PERFORM pg_advisory_xact_lock(hashtextextended('reservations.ensure_month', 0));
  IF EXISTS (SELECT FROM pg_inherits
             WHERE inhparent = 'reservations'::regclass AND inhrelid = to_regclass(of_reservations)) THEN
    RETURN false;
  END IF;

  EXECUTE format(
    'CREATE TABLE reservations.%I (LIKE reservations INCLUDING ALL,
       CONSTRAINT reservations_code_of_month CHECK (confirmation_code >= %L AND confirmation_code < %L),
       CONSTRAINT reservations_created_in_month CHECK (created_at >= %L AND created_at < %L))',
    of_reservations, code, code || '~', starts_at, ends_at);
  EXECUTE format('CREATE UNIQUE INDEX %I ON %I (confirmation_code)', 'idx_res_confirmation' || suffix, of_reservations);
  FOREACH parent IN ARRAY ARRAY['participants', 'status_history'] LOOP
    EXECUTE format(
      'CREATE TABLE reservations.%I (LIKE %I INCLUDING ALL,
         CONSTRAINT %I FOREIGN KEY (reservation_id) REFERENCES %I (reservation_id))',
      parent || suffix, parent, parent || '_reservation_id_fkey', of_reservations);
  END LOOP;
  FOREACH parent IN ARRAY ARRAY['reservations', 'participants', 'status_history'] LOOP
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                   parent, parent || suffix, uuid7_floor(starts_at), uuid7_floor(ends_at));
  END LOOP;
  RETURN true;
END $$;

REVOKE EXECUTE ON FUNCTION reservations.uuid7_floor, reservations.uuid7_time, reservations.month_code,
  reservations.ensure_month FROM PUBLIC;
GRANT EXECUTE ON FUNCTION reservations.uuid7_floor, reservations.uuid7_time, reservations.month_code
  TO reservations_reader, reservations_writer;
GRANT EXECUTE ON FUNCTION reservations.ensure_month TO reservations_writer;
