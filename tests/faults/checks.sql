-- Each query returns what breaks a promise; no row means that the promise was kept. They read the service's tables and
-- the ledger of the round, never the service's code.

-- name: an accepted command is neither in the inbox nor in the dead letters
SELECT s.command_id, s.lane, s.kind
FROM faults.sent AS s
WHERE s.accepted_at IS NOT NULL
  AND NOT EXISTS (SELECT FROM reservations.inbox AS i WHERE i.message_id = s.command_id)
  AND NOT EXISTS (
    SELECT FROM faults.message AS m
    WHERE m.topic = 'dead-letters' AND coalesce(m.body ->> 'command_id', m.body ->> 'event_id') = s.command_id::text
  );

-- name: the revisions of a reservation are not one for each applied command
SELECT r.reservation_id, r._rev, o.revs
FROM reservations.reservations AS r
LEFT JOIN (
  SELECT reservation_id, array_agg(rev ORDER BY rev) AS revs
  FROM faults.outcome
  WHERE outcome = 'applied'
  GROUP BY reservation_id
) AS o USING (reservation_id)
WHERE o.revs IS DISTINCT FROM (SELECT array_agg(n) FROM generate_series(1, r._rev) AS n);

-- name: an applied command left no reservation
SELECT o.command_id, o.kind, o.reservation_id
FROM faults.outcome AS o
WHERE o.outcome = 'applied'
  AND NOT EXISTS (SELECT FROM reservations.reservations AS r WHERE r.reservation_id = o.reservation_id);

-- name: something was handled that nobody sent
SELECT i.message_id, i.kind FROM reservations.inbox AS i
WHERE NOT EXISTS (SELECT FROM faults.sent AS s WHERE s.command_id = i.message_id);

-- name: a refused booking is there
SELECT o.command_id, s.reservation_id, o.code
FROM faults.outcome AS o
JOIN faults.sent AS s USING (command_id)
WHERE s.kind = 'reservation.create' AND o.outcome = 'rejected' AND o.code <> 'RESERVATION_EXISTS'
  AND EXISTS (SELECT FROM reservations.reservations AS r WHERE r.reservation_id = s.reservation_id);

-- name: a command has two different results
SELECT command_id, count(DISTINCT body) FROM faults.result JOIN faults.sent USING (command_id)
GROUP BY command_id
HAVING count(DISTINCT body) > 1;

-- name: a result is not what the inbox says
SELECT r.command_id, r.body ->> 'outcome' AS told, o.outcome AS kept
FROM faults.result AS r
JOIN faults.sent AS s USING (command_id)
LEFT JOIN faults.outcome AS o USING (command_id)
WHERE r.body IS DISTINCT FROM o.body;

-- name: a handled command has no result
SELECT o.command_id, o.kind FROM faults.outcome AS o
WHERE NOT EXISTS (SELECT FROM faults.result AS r WHERE r.command_id = o.command_id);

-- name: a request has no final answer
SELECT s.command_id, s.kind FROM faults.sent AS s
WHERE s.lane = 'rest' AND NOT EXISTS (
  SELECT FROM faults.answer AS a
  WHERE a.command_id = s.command_id AND a.status BETWEEN 200 AND 499 AND a.status <> 202
);

-- name: an answer is not what the inbox says
SELECT a.command_id, a.status, a.code, a.rev, o.outcome, o.code AS kept_code, o.rev AS kept_rev
FROM faults.answer AS a
LEFT JOIN faults.outcome AS o USING (command_id)
WHERE a.status BETWEEN 200 AND 499 AND a.status <> 202
  AND (a.status < 300, a.code, a.rev, CASE WHEN a.status < 300 THEN a.reservation_id END)
    IS DISTINCT FROM (o.outcome = 'applied', o.code, o.rev, CASE WHEN a.status < 300 THEN o.reservation_id END);

-- name: more seats are taken than there are, or fewer than none
SELECT s.trip_id, s.trip_date, s.at, s.taken, t.capacity
FROM faults.seat_state AS s
JOIN reservations.trip_slots AS t USING (trip_id, trip_date)
WHERE s.taken > t.capacity OR s.taken < 0;

-- name: the count of a trip date is not what its reservations hold
SELECT trip_id, trip_date, t.taken, coalesce(held.seats, 0) AS held
FROM reservations.trip_slots AS t
FULL JOIN (
  SELECT trip_id, trip_date, sum(faults.held(status, party_size)) AS seats
  FROM reservations.reservations
  GROUP BY trip_id, trip_date
) AS held USING (trip_id, trip_date)
WHERE coalesce(t.taken, 0) <> coalesce(held.seats, 0);

-- name: a trip was said to be fully booked that never was while the command was under way
WITH refused AS (
  SELECT
    o.command_id, s.seats, s.first_at, min(r.at) AS told_at, o.batch,
    (d.body -> 'payload' ->> 'trip_id')::uuid AS trip_id, (d.body -> 'payload' ->> 'trip_date')::date AS trip_date
  FROM faults.outcome AS o
  JOIN faults.sent AS s USING (command_id)
  JOIN faults.delivery AS d USING (command_id)
  JOIN faults.result AS r USING (command_id)
  WHERE o.code = 'TRIP_FULLY_BOOKED' AND s.kind = 'reservation.create'
  GROUP BY o.command_id, s.seats, s.first_at, o.batch, d.body
),
-- The most that each reservation held while a batch was at work. It may have held that for a moment only.
held AS (
  SELECT
    batch, reservation_id, (body -> 'reservation' ->> 'trip_id')::uuid AS trip_id,
    (body -> 'reservation' ->> 'trip_date')::date AS trip_date,
    max(faults.held(lower(body -> 'reservation' ->> 'status'), (body -> 'reservation' ->> 'party_size')::integer)) AS seats
  FROM faults.outcome
  WHERE outcome = 'applied'
  GROUP BY batch, reservation_id, trip_id, trip_date
)
SELECT f.command_id, f.trip_id, f.trip_date, f.seats
FROM refused AS f
WHERE NOT EXISTS (
  SELECT FROM faults.seat_state AS t
  JOIN reservations.trip_slots AS slot USING (trip_id, trip_date)
  WHERE t.trip_id = f.trip_id AND t.trip_date = f.trip_date
    AND f.seats > slot.capacity - t.taken - (
      SELECT coalesce(sum(h.seats), 0) FROM held AS h
      WHERE h.batch = f.batch AND h.trip_id = f.trip_id AND h.trip_date = f.trip_date
    )
    AND t.at <= f.told_at AND coalesce(t.until, 'infinity') >= f.first_at
);

-- name: a guest has two active reservations for a day
SELECT guest_id, trip_date, count(*)
FROM reservations.reservations
WHERE faults.held(status, party_size) > 0
GROUP BY guest_id, trip_date
HAVING count(*) > 1;

-- name: the days of guests are not those of their active reservations
SELECT guest_id, trip_date, d.reservation_id, r.reservation_id AS active
FROM reservations.guest_days AS d
FULL JOIN (SELECT * FROM reservations.reservations WHERE faults.held(status, party_size) > 0) AS r
  USING (guest_id, trip_date)
WHERE d.reservation_id IS DISTINCT FROM r.reservation_id;

-- name: a change was applied to another revision than it expected
SELECT o.command_id, s.expected_rev, o.rev
FROM faults.outcome AS o
JOIN faults.sent AS s USING (command_id)
WHERE o.outcome = 'applied' AND o.rev <> s.expected_rev + 1;

-- name: the history does not lead to the status
SELECT reservation_id, h.steps, r.status
FROM reservations.reservations AS r
FULL JOIN (
  SELECT
    reservation_id,
    array_agg(old_status || '>' || new_status ORDER BY rev) AS steps,
    (array_agg(new_status ORDER BY rev))[count(*)] AS last,
    bool_and(old_status IS NOT DISTINCT FROM before AND (old_status IS NULL) IS NOT DISTINCT FROM (rev = 1)) AS leads
  FROM (
    SELECT *, lag(new_status) OVER (PARTITION BY reservation_id ORDER BY rev) AS before FROM faults.change
  ) AS step
  GROUP BY reservation_id
) AS h USING (reservation_id)
WHERE h.last IS DISTINCT FROM r.status OR NOT h.leads;

-- name: a status followed another that it may not follow
SELECT reservation_id, old_status, new_status FROM faults.change
WHERE old_status IS NOT NULL AND (old_status, new_status) NOT IN (
  ('pending', 'confirmed'), ('pending', 'cancelled'),
  ('confirmed', 'gear_assigned'), ('confirmed', 'checked_in'), ('confirmed', 'cancelled'), ('confirmed', 'no_show'),
  ('gear_assigned', 'confirmed'), ('gear_assigned', 'checked_in'), ('gear_assigned', 'cancelled'),
  ('gear_assigned', 'no_show'),
  ('checked_in', 'in_progress'), ('checked_in', 'cancelled'),
  ('in_progress', 'completed'), ('in_progress', 'cancelled')
);

-- name: a change has no event, or an event no change
SELECT c.history_id, e.event_id, coalesce(c.reservation_id, e.reservation_id) AS reservation_id
FROM faults.change AS c
FULL JOIN (SELECT DISTINCT event_id, topic, reservation_id FROM faults.event) AS e
  ON e.event_id = c.history_id AND (e.topic = 'created') = (c.old_status IS NULL)
WHERE c.history_id IS NULL OR e.event_id IS NULL;

-- name: an event does not tell what happened
SELECT e.event_id, e.body
FROM faults.event AS e
JOIN faults.change AS c ON c.history_id = e.event_id
JOIN reservations.reservations AS r ON r.reservation_id = c.reservation_id
WHERE e.reservation_id IS DISTINCT FROM c.reservation_id
  OR e.key IS DISTINCT FROM convert_to(c.reservation_id::text, 'UTF8')
  OR CASE e.topic
    WHEN 'created' THEN
      (e.body ->> 'event_type', e.body ->> 'status', e.body ->> 'confirmation_code', e.body ->> 'guest_id')
      IS DISTINCT FROM ('reservation.created', upper(c.new_status), r.confirmation_code, r.guest_id::text)
    ELSE
      (e.body ->> 'event_type', e.body ->> 'previous_status', e.body ->> 'new_status', e.body ->> 'changed_by',
       e.body ->> '_rev')
      IS DISTINCT FROM
      ('reservation.status_changed', upper(c.old_status), upper(c.new_status), c.changed_by, c.rev::text)
  END;

-- name: an event was published with two values
SELECT event_id, count(DISTINCT value) FROM faults.event GROUP BY event_id HAVING count(DISTINCT value) > 1;

-- name: an event was first told after one of a later change
WITH told AS (
  SELECT e.topic, c.reservation_id, c.rev, min(e.position) AS position, min(e.at) AS at
  FROM faults.event AS e
  JOIN faults.change AS c ON c.history_id = e.event_id
  GROUP BY e.topic, c.reservation_id, c.rev
), in_order AS (
  SELECT
    *,
    max(position) OVER (PARTITION BY reservation_id, topic ORDER BY rev ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW)
      AS furthest_before,
    max(at) OVER (PARTITION BY reservation_id ORDER BY rev ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS latest_before
  FROM told
)
SELECT reservation_id, topic, rev, position, furthest_before, at, latest_before
FROM in_order
WHERE furthest_before > position
  -- Topics have no order between them, but where one lane made the reservation its creation is told first there, too.
  OR latest_before > at AND EXISTS (
    SELECT FROM faults.sent AS s WHERE s.reservation_id = in_order.reservation_id AND s.kind = 'reservation.create'
  );

-- name: the events of a reservation lie in two partitions of a topic
SELECT topic, reservation_id FROM faults.event GROUP BY topic, reservation_id HAVING count(DISTINCT partition) > 1;

-- name: a payment waits for a reservation that is there
SELECT i.message_id, i.reservation_id FROM reservations.inbox AS i
JOIN reservations.reservations AS r USING (reservation_id)
WHERE i.outcome IS NULL;

-- name: the payments of a reservation are not those that were applied
SELECT r.reservation_id, r.details -> 'payments' AS kept, o.applied
FROM reservations.reservations AS r
LEFT JOIN (
  SELECT reservation_id, array_agg(command_id::text ORDER BY command_id::text) AS applied
  FROM faults.outcome WHERE kind = 'payment.record' AND outcome = 'applied'
  GROUP BY reservation_id
) AS o USING (reservation_id)
WHERE coalesce(o.applied, '{}') <> ARRAY (
  SELECT p ->> 'event_id' FROM jsonb_array_elements(coalesce(r.details -> 'payments', '[]')) AS p ORDER BY 1
);

-- name: a refused payment is not in the dead letters
SELECT o.command_id, o.code FROM faults.outcome AS o
WHERE o.kind = 'payment.record' AND o.outcome = 'rejected'
  AND NOT EXISTS (
    SELECT FROM faults.message AS m
    WHERE m.body ->> 'event_id' = o.command_id::text AND (
      m.topic = 'dead-letters'
      -- Money given back after the end is as it should be.
      OR m.topic = 'processed' AND m.body ->> 'status' <> 'COMPLETED' AND o.code = 'PAYMENT_AFTER_THE_END'
    )
  );

-- name: an offset was committed past a command that was not handled
SELECT s.sample, s.topic, s.partition, s.committed, d.position, d.command_id
FROM faults.sample AS s
JOIN faults.delivery AS d USING (topic, partition)
WHERE d.position < s.committed AND d.command_id IS NOT NULL
  AND NOT EXISTS (
    SELECT FROM faults.sampled_inbox AS i WHERE i.sample = s.sample AND i.message_id = d.command_id
  );

-- name: an offset was committed past poison that was not set aside
SELECT s.sample, s.topic, s.partition, s.committed, d.position
FROM faults.sample AS s
JOIN faults.delivery AS d USING (topic, partition)
WHERE d.position < s.committed AND d.command_id IS NULL
  AND NOT EXISTS (
    SELECT FROM faults.message AS m
    WHERE m.topic = 'dead-letters' AND m.value IS NOT DISTINCT FROM d.value AND m.at <= s.at
  );

-- name: poison is not in the dead letters as it came
SELECT p.lane, p.key, p.value FROM faults.poison AS p
WHERE p.accepted_at IS NOT NULL AND NOT EXISTS (
  SELECT FROM faults.message AS m
  WHERE m.topic = 'dead-letters' AND m.value = p.value AND m.key IS NOT DISTINCT FROM p.key
    AND m.headers @> '[["made-by", "006661756c7473ff"], ["empty", ""]]'
);

-- name: something is in the dead letters that was not poison
SELECT m.partition, m.position, m.headers FROM faults.message AS m
WHERE m.topic = 'dead-letters'
  AND NOT EXISTS (SELECT FROM faults.poison AS p WHERE p.value = m.value)
  AND NOT EXISTS (
    SELECT FROM faults.outcome AS o
    WHERE o.command_id::text = m.body ->> 'event_id' AND o.kind = 'payment.record' AND o.outcome = 'rejected'
  );

-- name: a message behind poison waited for more than five seconds
SELECT d.topic, d.partition, d.position, min(r.at) - d.at AS waited
FROM faults.delivery AS d
JOIN faults.result AS r USING (command_id)
WHERE d.at > (SELECT max(at) FROM faults.fact WHERE name = 'recovered')
  AND EXISTS (
    SELECT FROM faults.delivery AS p
    WHERE p.topic = d.topic AND p.partition = d.partition AND p.position < d.position AND p.command_id IS NULL
  )
GROUP BY d.topic, d.partition, d.position, d.at
HAVING min(r.at) - d.at > interval '5 seconds';

-- name: a read after an answer did not see it
SELECT reservation_id, answered_rev, status, seen_rev FROM faults.read
WHERE status BETWEEN 200 AND 499 AND (status <> 200 OR seen_rev IS NULL OR seen_rev < answered_rev);

-- name: the participants of a reservation are not those that were added
SELECT reservation_id, participant_id, added.reservation_id IS NOT NULL AS was_added
FROM reservations.participants AS p
FULL JOIN (
  SELECT DISTINCT reservation_id, (joined ->> 'participant_id')::uuid AS participant_id
  FROM faults.outcome, jsonb_array_elements(body -> 'reservation' -> 'participants') AS joined
  WHERE outcome = 'applied'
) AS added USING (reservation_id, participant_id)
WHERE p.reservation_id IS NULL OR added.reservation_id IS NULL;

-- name: two transactions waited for each other in a circle
SELECT datname, deadlocks FROM pg_stat_database WHERE datname = current_database() AND deadlocks > 0;
