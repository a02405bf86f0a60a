ALTER TABLE reservations.inbox ADD COLUMN issued_by varchar(100); -- who asked
