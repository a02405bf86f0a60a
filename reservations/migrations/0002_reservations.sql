-- Reservations, their participants and the history of their statuses, each partitioned by calendar month (UTC).
-- Every id is a UUIDv7 whose time is when the reservation was made (to the millisecond), so a range of ids is a range
-- of reservation dates, and an id alone tells its partition. Foreign keys and the unique confirmation code stand on the
-- months' own tables: see 0003_months.sql.
CREATE TABLE reservations.reservations (
  reservation_id    uuid          NOT NULL,
  guest_id          uuid          NOT NULL,
  trip_id           uuid          NOT NULL,
  confirmation_code varchar(12)   COLLATE "C" NOT NULL, -- "C": a month's codes are a plain range of bytes
  status            varchar(20)   NOT NULL DEFAULT 'confirmed',
  trip_date         date          NOT NULL,
  party_size        integer       NOT NULL,
  total_amount      numeric(10,2) NOT NULL,
  currency          char(3)       NOT NULL DEFAULT 'USD',
  _rev              integer       NOT NULL DEFAULT 1,
  created_at        timestamptz   NOT NULL,
  updated_at        timestamptz   NOT NULL,
  details           jsonb         NOT NULL DEFAULT '{}',
  CONSTRAINT reservations_pkey PRIMARY KEY (reservation_id),
  CONSTRAINT reservations_party_size_positive CHECK (party_size > 0)
) PARTITION BY RANGE (reservation_id);

CREATE INDEX idx_res_guest_date ON reservations.reservations (guest_id, trip_date);
CREATE INDEX idx_res_trip_date ON reservations.reservations (trip_id, trip_date);
CREATE INDEX idx_res_status ON reservations.reservations (status);

CREATE TABLE reservations.participants (
  participant_id uuid        NOT NULL,
  reservation_id uuid        NOT NULL,
  guest_id       uuid        NOT NULL,
  role           varchar(20) NOT NULL DEFAULT 'guest',
  waiver_signed  boolean     NOT NULL DEFAULT false,
  created_at     timestamptz NOT NULL,
  details        jsonb       NOT NULL DEFAULT '{}',
  CONSTRAINT participants_pkey PRIMARY KEY (participant_id)
) PARTITION BY RANGE (participant_id);

CREATE INDEX idx_part_reservation ON reservations.participants (reservation_id);
CREATE INDEX idx_part_guest ON reservations.participants (guest_id);

CREATE TABLE reservations.status_history (
  history_id     uuid         NOT NULL,
  reservation_id uuid         NOT NULL,
  old_status     varchar(20),
  new_status     varchar(20)  NOT NULL,
  changed_by     varchar(100) NOT NULL,
  reason         text,
  changed_at     timestamptz  NOT NULL DEFAULT now(),
  details        jsonb        NOT NULL DEFAULT '{}',
  CONSTRAINT status_history_pkey PRIMARY KEY (history_id)
) PARTITION BY RANGE (history_id);

CREATE INDEX idx_hist_reservation ON reservations.status_history (reservation_id, changed_at DESC);

-- Rights on a partitioned table reach all its months; nobody is given a month itself. History is only ever added to.
GRANT SELECT ON reservations.reservations, reservations.participants, reservations.status_history
  TO reservations_reader, reservations_writer;
GRANT INSERT ON reservations.reservations, reservations.participants, reservations.status_history TO reservations_writer;
GRANT UPDATE ON reservations.reservations, reservations.participants TO reservations_writer;
