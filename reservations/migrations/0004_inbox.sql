-- What was done about each message, written in the transaction of its effect. A message seen again is answered from
-- here. outcome and publications are json, not jsonb: what is published again is the same text, byte for byte.
CREATE TABLE reservations.inbox (
  message_id     uuid        NOT NULL,
  kind           varchar(40) NOT NULL,               -- type of the command
  reservation_id uuid,
  fingerprint    uuid        NOT NULL,               -- 128-bit hash of what the command asks for
  outcome        json,                               -- result as published; null while the message is parked
  publications   json        NOT NULL DEFAULT '[]',  -- events to publish again on a replay
  parked         json,                               -- the message itself while it waits for its reservation
  processed_at   timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT inbox_pkey PRIMARY KEY (message_id),
  CONSTRAINT inbox_parked_names_reservation CHECK (outcome IS NOT NULL OR reservation_id IS NOT NULL),
  CONSTRAINT inbox_parked_or_answered CHECK ((parked IS NULL) <> (outcome IS NULL)),
  CONSTRAINT inbox_outcome_is_object CHECK (json_typeof(outcome) = 'object'),
  CONSTRAINT inbox_publications_is_array CHECK (json_typeof(publications) = 'array')
);

CREATE INDEX idx_inbox_parked ON reservations.inbox (reservation_id) WHERE outcome IS NULL;
CREATE INDEX idx_inbox_parked_since ON reservations.inbox (processed_at) WHERE outcome IS NULL;

GRANT SELECT ON reservations.inbox TO reservations_reader, reservations_writer;
GRANT INSERT, UPDATE ON reservations.inbox TO reservations_writer;
