-- Answered messages leave the inbox when nothing can bring them again; what waits for its reservation stays.
CREATE INDEX idx_inbox_answered ON reservations.inbox (processed_at) WHERE outcome IS NOT NULL;

GRANT DELETE ON reservations.inbox TO reservations_writer;
