-- What people did to the data beside the commands: who, when, about whom and how much; never what it said.
CREATE TABLE reservations.audit_log (
  audit_id uuid         NOT NULL,
  at       timestamptz  NOT NULL DEFAULT now(),
  actor    varchar(100) NOT NULL,
  action   varchar(40)  NOT NULL,
  subject  uuid,
  details  jsonb        NOT NULL DEFAULT '{}',
  CONSTRAINT audit_log_pkey PRIMARY KEY (audit_id),
  CONSTRAINT audit_log_details_is_object CHECK (jsonb_typeof(details) = 'object')
);

CREATE INDEX idx_audit_subject ON reservations.audit_log (subject, at);

-- It is only ever added to. Who reads it is the owner's to say.
GRANT INSERT ON reservations.audit_log TO reservations_writer;
