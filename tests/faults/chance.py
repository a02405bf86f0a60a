"""Chance, drawn from a seed, and what is drawn with it: how often what goes wrong, and bookings to send."""

import random
from datetime import UTC, date, datetime, timedelta
from time import time
from typing import Any
from uuid import UUID

from reservations.models.identifiers import uuid7
from tests.bookings import a_booking

DUPLICATES, EARLY, OUT_OF_ORDER, POISON, STALE, HOT = 0.05, 0.20, 0.02, 0.005, 0.10, 0.15
HELD, REFUNDED, WRONG_CURRENCY = 0.25, 0.1, 0.03
READS = 0.3
HOT_TRIP, HOT_DATES, HOT_SEATS = UUID("00000000-0000-4000-9000-00000000000a"), 3, 40

Json = dict[str, Any]


class Chance(random.Random):
    """Chance, the same for the same seed."""

    def hits(self, share: float) -> bool:
        """Tell whether something happens that happens so often."""
        return self.random() < share

    def uuid(self) -> UUID:
        """Return a random UUID."""
        return UUID(int=self.getrandbits(128), version=4)

    def reservation_id(self) -> str:
        """Return an id for a reservation made now."""
        return str(uuid7(int(time() * 1000), self.randbytes))

    def payment_ids(self) -> Json:
        """Return the ids of a payment."""
        return {"event_id": str(self.uuid()), "payment_id": f"pay-{self.uuid()}"}

    def booking(self) -> Json:
        """Return a booking: now and then for a date that sells out, now and then one that waits for its payment."""
        size, is_hot = self.randint(1, 3), self.hits(HOT)
        day = self.choice(hot_dates()) if is_hot else first_date() + timedelta(days=self.randint(0, 60))
        return a_booking(
            guest_id=str(self.uuid()),
            trip_id=str(HOT_TRIP if is_hot else self.uuid()),
            trip_date=str(day),
            party_size=size,
            total_amount=100.0 * size,
            participants=[{"guest_id": str(self.uuid()), "role": "PRIMARY"}],
            awaiting_payment=self.hits(HELD),
        )

    def another_date(self) -> str:
        """Return a trip date that no booking begins with."""
        return str(first_date() + timedelta(days=self.randint(61, 99)))


def first_date() -> date:
    """Return the first of the dates that are booked."""
    return datetime.now(UTC).date() + timedelta(days=200)


def hot_dates() -> list[date]:
    """Return the dates of one trip that sell out."""
    return [first_date() + timedelta(days=n) for n in range(HOT_DATES)]
