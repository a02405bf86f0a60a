-- Statements are put together for the filters that a search has. Names in braces stand for parameters, and `{filters}`
-- for the conditions named below, joined by AND.

-- name: guest_id
guest_id = {guest_id}

-- name: own_guest_id
guest_id = {own_guest_id}

-- name: own_partner_id
details ->> 'partner_id' = {own_partner_id}

-- name: trip_id
trip_id = {trip_id}

-- name: statuses
status = ANY ({statuses}::varchar[])

-- name: start_date
trip_date >= {start_date}

-- name: end_date
trip_date <= {end_date}

-- name: confirmation_code
confirmation_code = {confirmation_code}

-- name: party_size
party_size = {party_size}

-- name: since
reservation_id >= {since}

-- name: before
reservation_id < {before}

-- name: glance
-- What matches among the newest. The limit inside keeps the order of the key: nothing is sorted, no index is tried.
SELECT reservation_id
FROM (SELECT reservation_id, guest_id, trip_id, status, trip_date, confirmation_code, party_size, details
      FROM reservations.reservations
      WHERE {window}
      ORDER BY reservation_id DESC
      LIMIT {looked_at}) AS newest
WHERE {filters}
ORDER BY reservation_id DESC
OFFSET {skip} LIMIT {wanted};

-- name: gather
-- How many match, counted up to a limit, and the newest of those before an id. Rows are found before they are put in
-- order, so that the planner chooses by the filters alone: by the order, it would gamble on where the matches lie.
WITH found AS MATERIALIZED (
  SELECT reservation_id FROM reservations.reservations WHERE {window} AND {filters} LIMIT {at_most}
)
SELECT (SELECT count(*) FROM found) AS matches,
       ARRAY (SELECT reservation_id FROM found WHERE reservation_id < {before}
              ORDER BY reservation_id DESC OFFSET {skip} LIMIT {wanted}) AS newest;

-- name: count
SELECT count(*) FROM (SELECT FROM reservations.reservations WHERE {filters} LIMIT {at_most}) AS found;

-- name: rows
-- The range of the whole page prunes when this is planned, that of each reservation when it runs.
SELECT r.reservation_id::text, r.guest_id::text, trip_id::text, confirmation_code, status, trip_date, party_size,
       total_amount, currency, _rev, r.created_at, updated_at, r.details,
       ARRAY (SELECT (participant_id::text, p.guest_id::text, role, waiver_signed, p.details)
              FROM reservations.participants AS p
              WHERE p.reservation_id = r.reservation_id
                AND participant_id BETWEEN page.low AND page.high AND participant_id BETWEEN $4 AND $5
              ORDER BY participant_id) AS party
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS page (reservation_id, low, high)
JOIN reservations.reservations AS r USING (reservation_id)
WHERE r.reservation_id = ANY ($1)
ORDER BY r.reservation_id DESC;
