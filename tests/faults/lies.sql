-- Lies about a round in which nothing went wrong (tests/integration/honest_round.py): each is found by the check whose
-- name it bears, and by those under `also`, which it can't but break too.

-- name: an accepted command is neither in the inbox nor in the dead letters
DELETE FROM reservations.inbox WHERE outcome IS NULL;

-- name: the revisions of a reservation are not one for each applied command
UPDATE reservations.reservations SET _rev = _rev + 1 WHERE status = 'cancelled';

-- name: an applied command left no reservation
-- also: the history does not lead to the status
DELETE FROM reservations.reservations WHERE status = 'cancelled';

-- name: something was handled that nobody sent
INSERT INTO reservations.inbox (message_id, kind, reservation_id, fingerprint, parked)
VALUES (gen_random_uuid(), 'payment.record', gen_random_uuid(), gen_random_uuid(), '{}');

-- name: a refused booking is there
UPDATE faults.sent SET reservation_id = (SELECT reservation_id FROM reservations.reservations WHERE party_size = 1)
WHERE command_id IN (SELECT command_id FROM faults.outcome WHERE code = 'TRIP_FULLY_BOOKED');

-- name: a command has two different results
-- also: a result is not what the inbox says
INSERT INTO faults.message
SELECT topic, partition, position + 1000, at, key, value, headers, body || '{"completed_at": "2027-01-01T00:00:00Z"}'
FROM faults.message WHERE topic = 'command-results' AND body ->> 'type' = 'reservation.transition';

-- name: a result is not what the inbox says
UPDATE reservations.inbox SET outcome = (outcome::jsonb || '{"completed_at": "2027-01-01T00:00:00Z"}')::json
WHERE kind = 'reservation.cancel';

-- name: a result is not what the inbox says
INSERT INTO faults.message
SELECT topic, partition, position + 1000, at, key, value, headers, body || jsonb_build_object('command_id', message_id)
FROM faults.message, reservations.inbox
WHERE topic = 'command-results' AND body ->> 'type' = 'reservation.transition' AND outcome IS NULL;

-- name: a handled command has no result
DELETE FROM faults.message WHERE topic = 'command-results' AND body ->> 'type' = 'reservation.transition';

-- name: a request has no final answer
UPDATE faults.answer SET status = 202 WHERE rev = 3;

-- name: a request has no final answer
DELETE FROM faults.answer WHERE rev = 3;

-- name: an answer is not what the inbox says
UPDATE faults.answer SET rev = rev + 1 WHERE rev = 3;

-- name: an answer is not what the inbox says
UPDATE faults.answer SET status = 409, code = 'REVISION_CONFLICT', rev = NULL WHERE rev = 3;

-- name: an answer is not what the inbox says
INSERT INTO faults.answer SELECT gen_random_uuid(), status, code, reservation_id, rev, at FROM faults.answer WHERE rev = 3;

-- name: more seats are taken than there are, or fewer than none
UPDATE reservations.trip_slots SET capacity = 1 WHERE capacity = 2;

-- name: more seats are taken than there are, or fewer than none
INSERT INTO faults.seat_move (trip_id, trip_date, seats)
SELECT trip_id, trip_date, -1 FROM reservations.trip_slots WHERE capacity = 2;

-- name: the count of a trip date is not what its reservations hold
UPDATE reservations.trip_slots SET taken = taken - 1 WHERE taken = 2;

-- name: the count of a trip date is not what its reservations hold
DELETE FROM reservations.trip_slots WHERE taken = 2;

-- name: a trip was said to be fully booked that never was while the command was under way
UPDATE reservations.trip_slots SET capacity = 3 WHERE capacity = 2;

-- name: a trip was said to be fully booked that never was while the command was under way
DELETE FROM faults.seat_move WHERE trip_id = (SELECT trip_id FROM reservations.trip_slots WHERE capacity = 2);

-- name: a trip was said to be fully booked that never was while the command was under way
-- Another day is full.
UPDATE faults.seat_move SET trip_date = trip_date + 1
WHERE trip_id = (SELECT trip_id FROM reservations.trip_slots WHERE capacity = 2);
INSERT INTO reservations.trip_slots SELECT trip_id, trip_date + 1, capacity, taken
FROM reservations.trip_slots WHERE capacity = 2;

-- name: a trip was said to be fully booked that never was while the command was under way
-- It was full before.
UPDATE faults.seat_move SET at = at - interval '1 hour'
WHERE trip_id = (SELECT trip_id FROM reservations.trip_slots WHERE capacity = 2);

-- name: a trip was said to be fully booked that never was while the command was under way
-- It was full later.
UPDATE faults.seat_move SET at = at + interval '1 hour'
WHERE trip_id = (SELECT trip_id FROM reservations.trip_slots WHERE capacity = 2);

-- name: a guest has two active reservations for a day
-- also: the days of guests are not those of their active reservations
-- also: an event does not tell what happened
UPDATE reservations.reservations
SET guest_id = (SELECT guest_id FROM reservations.reservations WHERE party_size = 1) WHERE status = 'confirmed';

-- name: the days of guests are not those of their active reservations
DELETE FROM reservations.guest_days
WHERE reservation_id = (SELECT reservation_id FROM reservations.reservations WHERE party_size = 1);

-- name: the days of guests are not those of their active reservations
INSERT INTO reservations.guest_days
SELECT guest_id, trip_date, reservation_id FROM reservations.reservations WHERE status = 'cancelled';

-- name: a change was applied to another revision than it expected
UPDATE faults.sent SET expected_rev = 1 WHERE kind = 'reservation.transition';

-- name: the history does not lead to the status
UPDATE reservations.reservations SET status = 'gear_assigned' WHERE status = 'confirmed';

-- name: the history does not lead to the status
-- also: a change has no event, or an event no change
DELETE FROM reservations.status_history WHERE new_status = 'gear_assigned';

-- name: the history does not lead to the status
-- also: an event does not tell what happened
UPDATE reservations.status_history SET details = details - '_rev' WHERE new_status = 'cancelled';

-- name: a status followed another that it may not follow
-- also: an event does not tell what happened
UPDATE reservations.status_history
SET old_status = replace(old_status, 'gear_assigned', 'no_show'), new_status = replace(new_status, 'gear_assigned', 'no_show');

-- name: a change has no event, or an event no change
DELETE FROM faults.message WHERE topic = 'status-changed' AND body ->> 'new_status' = 'GEAR_ASSIGNED';

-- name: a change has no event, or an event no change
INSERT INTO faults.message
SELECT topic, partition, position + 1000, at, key, value, headers, body || jsonb_build_object('event_id', gen_random_uuid())
FROM faults.message WHERE topic = 'status-changed' AND body ->> 'new_status' = 'CANCELLED';

-- name: a change has no event, or an event no change
INSERT INTO faults.message
SELECT 'created', partition, position + 1000, at, key, value, headers, body - 'event_id'
FROM faults.message WHERE topic = 'status-changed' AND body ->> 'new_status' = 'GEAR_ASSIGNED';

-- name: an event does not tell what happened
UPDATE faults.message SET body = body || '{"changed_by": "nobody"}'
WHERE topic = 'status-changed' AND body ->> 'new_status' = 'CANCELLED';

-- name: an event does not tell what happened
UPDATE faults.message SET body = body - 'changed_by'
WHERE topic = 'status-changed' AND body ->> 'new_status' = 'CANCELLED';

-- name: an event does not tell what happened
UPDATE faults.message SET body = body || '{"_rev": 9}'
WHERE topic = 'status-changed' AND body ->> 'new_status' = 'CANCELLED';

-- name: an event does not tell what happened
UPDATE faults.message SET body = body - 'status' WHERE topic = 'created' AND body ->> 'status' = 'PENDING';

-- name: an event does not tell what happened
UPDATE faults.message SET key = NULL WHERE topic = 'created' AND body ->> 'status' = 'PENDING';

-- name: an event does not tell what happened
UPDATE faults.message SET key = '\xff' WHERE topic = 'created' AND body ->> 'status' = 'PENDING';

-- name: an event was published with two values
INSERT INTO faults.message
SELECT topic, partition, position + 1000, at, key, value || ' ', headers, body
FROM faults.message WHERE topic = 'status-changed' AND body ->> 'new_status' = 'CANCELLED';

-- name: an event was first told after one of a later change
UPDATE faults.message SET position = -position WHERE topic = 'status-changed';

-- name: an event was first told after one of a later change
UPDATE faults.message SET at = at + interval '1 minute' WHERE topic = 'created' AND body ->> 'status' = 'PENDING';

-- name: the events of a reservation lie in two partitions of a topic
UPDATE faults.message SET partition = 1 WHERE topic = 'status-changed' AND body ->> 'new_status' = 'CANCELLED';

-- name: a payment waits for a reservation that is there
UPDATE reservations.inbox
SET reservation_id = (SELECT reservation_id FROM reservations.reservations WHERE party_size = 1) WHERE outcome IS NULL;

-- name: the payments of a reservation are not those that were applied
UPDATE reservations.reservations SET details = details - 'payments' WHERE status = 'cancelled';

-- name: the payments of a reservation are not those that were applied
UPDATE reservations.reservations SET details = jsonb_set(details, '{payments,0,event_id}', to_jsonb(gen_random_uuid()))
WHERE status = 'cancelled';

-- name: a refused payment is not in the dead letters
DELETE FROM faults.message WHERE topic = 'dead-letters' AND body ? 'event_id';

-- name: an offset was committed past a command that was not handled
DELETE FROM faults.sampled_inbox
WHERE message_id = (SELECT command_id FROM faults.sent WHERE kind = 'reservation.transition');

-- name: an offset was committed past poison that was not set aside
UPDATE faults.message SET at = at + interval '1 hour' WHERE topic = 'dead-letters' AND body IS NULL;

-- name: an offset was committed past poison that was not set aside
INSERT INTO faults.message SELECT topic, partition, -1, at, key, 'more poison', headers, NULL
FROM faults.message WHERE topic = 'bulk' AND position = 0;

-- name: poison is not in the dead letters as it came
UPDATE faults.message SET headers = headers - 0 WHERE topic = 'dead-letters' AND body IS NULL;

-- name: poison is not in the dead letters as it came
UPDATE faults.message SET key = NULL WHERE topic = 'dead-letters' AND body IS NULL;

-- name: something is in the dead letters that was not poison
DELETE FROM faults.poison;

-- name: something is in the dead letters that was not poison
INSERT INTO faults.message
SELECT 'dead-letters', partition, position + 1000, at, key, value, headers, body FROM faults.message WHERE topic = 'commands';

-- name: a message behind poison waited for more than five seconds
UPDATE faults.message SET at = at + interval '6 seconds'
WHERE topic = 'command-results' AND body ->> 'type' = 'reservation.cancel';

-- name: a read after an answer did not see it
UPDATE faults.read SET seen_rev = 2 WHERE answered_rev = 3;

-- name: a read after an answer did not see it
UPDATE faults.read SET seen_rev = NULL WHERE answered_rev = 3;

-- name: a read after an answer did not see it
UPDATE faults.read SET status = 404, seen_rev = NULL WHERE answered_rev = 3;

-- name: the participants of a reservation are not those that were added
DELETE FROM reservations.participants
WHERE reservation_id = (SELECT reservation_id FROM reservations.reservations WHERE party_size = 1);

-- name: the participants of a reservation are not those that were added
UPDATE reservations.participants
SET participant_id = overlay(participant_id::text PLACING 'ffff' FROM 33)::uuid
WHERE reservation_id = (SELECT reservation_id FROM reservations.reservations WHERE party_size = 1);
