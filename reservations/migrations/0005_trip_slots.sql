-- Seats of one trip on one date. The row is locked to take or give back seats, which makes it the hottest of all.
CREATE TABLE reservations.trip_slots (
  trip_id   uuid    NOT NULL,
  trip_date date    NOT NULL,
  capacity  integer,                                 -- null: no trip catalog told how many there are
  taken     integer NOT NULL DEFAULT 0,
  CONSTRAINT trip_slots_pkey PRIMARY KEY (trip_id, trip_date),
  CONSTRAINT trip_slots_not_overbooked CHECK (taken <= capacity),
  CONSTRAINT trip_slots_taken_not_negative CHECK (taken >= 0)
);

GRANT SELECT ON reservations.trip_slots TO reservations_reader, reservations_writer;
GRANT INSERT, UPDATE ON reservations.trip_slots TO reservations_writer;
