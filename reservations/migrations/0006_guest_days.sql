-- A guest has one active reservation for a day: the primary key says so, whoever else books at the same time.
CREATE TABLE reservations.guest_days (
  guest_id       uuid NOT NULL,
  trip_date      date NOT NULL,
  reservation_id uuid NOT NULL,
  CONSTRAINT guest_days_pkey PRIMARY KEY (guest_id, trip_date)
);

GRANT SELECT ON reservations.guest_days TO reservations_reader, reservations_writer;
GRANT INSERT, DELETE ON reservations.guest_days TO reservations_writer;
