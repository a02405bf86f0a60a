-- name: begin
INSERT INTO reservations.audit_log (audit_id, actor, action, subject, details) VALUES ($1, $2, $3, $4, $5);

-- name: end
UPDATE reservations.audit_log SET details = $2 WHERE audit_id = $1;
