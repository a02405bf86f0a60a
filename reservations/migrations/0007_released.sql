-- What came of the payments that had waited for a reservation is told with what came of its creation. It is kept there,
-- too, so that whoever repeats the creation, after a crash before the telling, tells all of it.
ALTER TABLE reservations.inbox
  ADD COLUMN released json NOT NULL DEFAULT '[]',  -- payments, each with its result
  ADD CONSTRAINT inbox_released_is_array CHECK (json_typeof(released) = 'array');
