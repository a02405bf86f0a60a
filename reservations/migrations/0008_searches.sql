-- A search names any of status, party size and trip date. With these two every combination is a range of an index: one
-- that leaves out the status names all eight. Few values differ, so an entry takes some six bytes.
CREATE INDEX idx_res_status_date ON reservations.reservations (status, trip_date);
CREATE INDEX idx_res_status_size_date ON reservations.reservations (status, party_size, trip_date);
