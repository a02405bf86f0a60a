-- What a round of faults left behind, beside the service's own tables and apart from them: what was sent and answered,
-- every message of every topic, and the seats as each transaction moved them. checks.sql asks questions of it.
CREATE SCHEMA faults;

CREATE TABLE faults.sent (
  command_id     uuid PRIMARY KEY,
  lane           text NOT NULL,          -- rest, commands, bulk or payments
  kind           text NOT NULL,
  reservation_id uuid,
  expected_rev   integer,
  seats          integer,                -- of a create
  first_at       timestamptz NOT NULL,
  accepted_at    timestamptz             -- acknowledged by the broker, or answered 2xx
);

CREATE TABLE faults.poison (
  lane        text NOT NULL,
  key         bytea,
  value       bytea NOT NULL,
  accepted_at timestamptz
);

CREATE TABLE faults.answer (
  command_id uuid NOT NULL,
  status     integer NOT NULL,
  code       text,
  reservation_id uuid,
  rev        integer,
  at         timestamptz NOT NULL
);

CREATE TABLE faults.read (
  reservation_id uuid NOT NULL,
  answered_rev   integer NOT NULL,
  status         integer NOT NULL,
  seen_rev       integer,
  at             timestamptz NOT NULL
);

CREATE TABLE faults.message (
  topic     text NOT NULL,               -- the last words of its name
  partition integer NOT NULL,
  position  bigint NOT NULL,
  at        timestamptz NOT NULL,
  key       bytea,
  value     bytea,
  headers   jsonb NOT NULL,
  body      jsonb,                       -- of those that are JSON objects
  PRIMARY KEY (topic, partition, position)
);

-- Offsets as they were committed at some moments, and the messages whose handling was committed right after that look.
CREATE TABLE faults.sample (
  sample    integer NOT NULL,
  at        timestamptz NOT NULL,
  topic     text NOT NULL,
  partition integer NOT NULL,
  committed bigint NOT NULL
);
CREATE TABLE faults.sampled_inbox (
  sample     integer NOT NULL,
  message_id uuid NOT NULL
);

CREATE TABLE faults.fact (name text NOT NULL, at timestamptz NOT NULL);

-- The seats that each change of a reservation takes (or gives back, below zero), in the order of the commits: they are
-- noted at the commit, while the lock of the trip date is held.
CREATE TABLE faults.seat_move (
  move      bigserial PRIMARY KEY,
  tx        xid8 NOT NULL DEFAULT pg_current_xact_id(),
  at        timestamptz NOT NULL DEFAULT clock_timestamp(),
  trip_id   uuid NOT NULL,
  trip_date date NOT NULL,
  seats     integer NOT NULL
);

CREATE FUNCTION faults.held(status text, party_size integer) RETURNS integer LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE WHEN status IN ('cancelled', 'completed', 'no_show') THEN 0 ELSE party_size END $$;

CREATE FUNCTION faults.note_seats() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
$$
DECLARE
  had integer := CASE WHEN TG_OP = 'UPDATE' THEN faults.held(OLD.status, OLD.party_size) ELSE 0 END;
  has integer := faults.held(NEW.status, NEW.party_size);
BEGIN
  IF TG_OP = 'UPDATE' AND OLD.trip_date <> NEW.trip_date THEN
    INSERT INTO faults.seat_move (trip_id, trip_date, seats)
    VALUES (OLD.trip_id, OLD.trip_date, -had), (NEW.trip_id, NEW.trip_date, has);
  ELSIF has <> had THEN
    INSERT INTO faults.seat_move (trip_id, trip_date, seats) VALUES (NEW.trip_id, NEW.trip_date, has - had);
  END IF;
  RETURN NULL;
END
$$;

CREATE CONSTRAINT TRIGGER note_seats AFTER INSERT OR UPDATE OF status, party_size, trip_date
ON reservations.reservations DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION faults.note_seats();

CREATE VIEW faults.outcome AS
SELECT
  message_id AS command_id,
  kind,
  outcome ->> 'outcome' AS outcome,
  outcome -> 'error' ->> 'code' AS code,
  (outcome ->> 'reservation_id')::uuid AS reservation_id,
  (outcome -> 'reservation' ->> '_rev')::integer AS rev,
  outcome ->> 'completed_at' AS batch,   -- what was handled together was completed at the same instant
  outcome::jsonb - 'replayed' AS body
FROM reservations.inbox
WHERE outcome IS NOT NULL;

CREATE VIEW faults.result AS
SELECT (body ->> 'command_id')::uuid AS command_id, body - 'replayed' AS body, at
FROM faults.message
WHERE topic = 'command-results';

CREATE VIEW faults.event AS
SELECT
  topic,
  partition,
  position,
  at,
  key,
  value,
  (body ->> 'event_id')::uuid AS event_id,
  (body ->> 'reservation_id')::uuid AS reservation_id,
  body
FROM faults.message
WHERE topic IN ('created', 'status-changed');

CREATE VIEW faults.change AS
SELECT history_id, reservation_id, old_status, new_status, changed_by, (details ->> '_rev')::integer AS rev
FROM reservations.status_history;

-- What came in: the id of the command or payment, where it can be read.
CREATE VIEW faults.delivery AS
SELECT topic, partition, position, at, key, value, body, s.command_id
FROM faults.message AS m
LEFT JOIN faults.sent AS s ON s.command_id::text = coalesce(m.body ->> 'command_id', m.body ->> 'event_id')
WHERE topic IN ('commands', 'bulk', 'processed');

-- Seats as each transaction left them.
CREATE VIEW faults.seat_state AS
WITH by_tx AS (
  SELECT trip_id, trip_date, tx, min(move) AS move, max(at) AS at, sum(seats) AS moved
  FROM faults.seat_move
  GROUP BY trip_id, trip_date, tx
)
SELECT
  trip_id, trip_date, at,
  sum(moved) OVER so_far AS taken,
  lead(at) OVER so_far AS until
FROM by_tx
WINDOW so_far AS (PARTITION BY trip_id, trip_date ORDER BY move);
