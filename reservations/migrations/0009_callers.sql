-- Who asked is kept with the answer, so that a caller can be shown their own commands and nobody else's.
ALTER TABLE reservations.inbox
  ADD COLUMN issued_by varchar(100);

-- A partner sees what it made, newest first. Most reservations are made by guests and take no room here.
CREATE INDEX idx_res_partner ON reservations.reservations ((details ->> 'partner_id'), reservation_id)
  WHERE details ->> 'partner_id' IS NOT NULL;
