"""Simulated guest profiles and trip catalog: every id has an answer, always the same, and some ids stand for a refusal.

Run it with `python -m reservations.app.stack.neighbours --port 8090`; its addresses are then
`http://127.0.0.1:8090/guest-profiles` and `http://127.0.0.1:8090/trip-catalog`. It is no part of the service.
"""

import argparse
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from hashlib import blake2b
from typing import Any
from uuid import UUID

from aiohttp import web

LOOPBACK = "127.0.0.1"
STOP_LIMIT_S = 0.1
GUESTS_PATH = "/guest-profiles"
TRIPS_PATH = "/trip-catalog"

OLDEST, YOUNGEST = date(1957, 1, 1), date(2007, 12, 31)
CHEAPEST_CENTS, DEAREST_CENTS = 99_00, 499_00
LONGEST_HOURS = 72
DIVER, FIRST_AID = "OPEN_WATER_DIVER", "WILDERNESS_FIRST_AID"

Answer = dict[str, Any]


def guest_id(number: int) -> UUID:
    """Return the id of a special guest."""
    return UUID(f"00000000-0000-4000-8000-{number:012d}")


def trip_id(number: int) -> UUID:
    """Return the id of a special trip."""
    return UUID(f"00000000-0000-4000-9000-{number:012d}")


#: The trip that examples book: 199.00 USD for each participant.
EXAMPLE_TRIP = trip_id(8)


@dataclass(frozen=True, slots=True)
class Special:
    """An id that is answered differently: what it is, what comes of booking with it, and how its answer differs.

    Of a guest, `age` is the age this year, and `certifications` are the names with their last day.
    """

    id: UUID
    meaning: str
    outcome: str
    status: int = 200
    differs: Mapping[str, Any] = field(default_factory=dict)
    age: int | None = None
    certifications: Mapping[str, str | None] | None = None


SPECIAL_GUESTS = (
    Special(guest_id(0), "Guest who is unknown", "GUEST_EXISTS fails", 404),
    Special(guest_id(1), "Guest who is suspended", "GUEST_ACTIVE fails", differs={"status": "SUSPENDED"}),
    Special(guest_id(2), "Guest whose profile is deactivated", "GUEST_ACTIVE fails", differs={"status": "DEACTIVATED"}),
    Special(guest_id(3), "Guest who turns ten this year", "AGE_MINIMUM fails on a trip that has one", age=10),
    Special(
        guest_id(4),
        "Guest without certifications",
        "CERTIFICATION fails on a trip that requires any",
        certifications={},
    ),
    Special(
        guest_id(5),
        "Guest whose diving certification has expired",
        "CERTIFICATION fails on a trip that requires it",
        certifications={DIVER: "2020-12-31"},
    ),
    Special(
        guest_id(6),
        "Guest without a date of birth",
        "AGE_MINIMUM fails on a trip that has one",
        differs={"date_of_birth": None},
    ),
    Special(guest_id(7), "Guest whose profile can't be had", "UPSTREAM_UNAVAILABLE", 503),
)

SPECIAL_TRIPS = (
    Special(trip_id(0), "Trip that is unknown", "TRIP_EXISTS fails", 404),
    Special(trip_id(1), "Trip that is a draft", "TRIP_ACTIVE fails", differs={"status": "DRAFT"}),
    Special(trip_id(2), "Trip that is suspended", "TRIP_ACTIVE fails", differs={"status": "SUSPENDED"}),
    Special(trip_id(3), "Trip that is retired", "TRIP_ACTIVE fails", differs={"status": "RETIRED"}),
    Special(
        trip_id(4),
        "Trip with one seat on each date",
        "PARTY_MAXIMUM fails for two; the second reservation of a date meets TRIP_FULLY_BOOKED",
        differs={"max_participants": 1},
    ),
    Special(
        trip_id(5),
        "Trip for certified divers",
        "CERTIFICATION fails for guests who are not",
        differs={"required_certifications": [DIVER]},
    ),
    Special(trip_id(6), "Trip for ages from 21", "AGE_MINIMUM fails for who is younger", differs={"age_minimum": 21}),
    Special(
        trip_id(7), "Trip for parties of four or more", "PARTY_MINIMUM fails for less", differs={"min_participants": 4}
    ),
    Special(EXAMPLE_TRIP, "Trip for 199.00 USD a participant", "Two pay 398.00", differs={"base_price": 199.00}),
    Special(trip_id(9), "Trip that can't be had", "UPSTREAM_UNAVAILABLE", 503),
)


def markdown() -> str:
    """Return the special ids as a table in Markdown."""
    rows = [f"| `{special.id}` | {special.meaning} | {special.outcome} |" for special in SPECIAL_GUESTS + SPECIAL_TRIPS]
    return "\n".join(["| id | what it stands for | what comes of it |", "|---|---|---|", *rows])


class Simulation:
    """Answers for guests and trips: what is ordinary follows from the id alone."""

    def __init__(self, today: Callable[[], date] = lambda: datetime.now(UTC).date()) -> None:
        """Keep the calendar, which ages and last days are counted from."""
        self._today = today
        self._specials = {special.id: special for special in SPECIAL_GUESTS + SPECIAL_TRIPS}

    def application(self) -> web.Application:
        """Return both neighbours as one application."""
        application = web.Application()
        application.add_routes(
            [
                web.get(GUESTS_PATH + "/guests/{id}", self._answering(self.guest)),
                web.get(GUESTS_PATH + "/guests/{id}/certifications", self._answering(self.certifications)),
                web.get(TRIPS_PATH + "/trips/{id}", self._answering(self.trip)),
                web.get("/health/ready", _ready),
            ]
        )
        return application

    def guest(self, key: UUID) -> Answer:
        """Return a guest's profile."""
        special, seed = self._specials.get(key), _seed(key)
        born = OLDEST + timedelta(days=seed % (YOUNGEST - OLDEST).days)
        if special and special.age is not None:
            born = date(self._today().year - special.age, 1, 1)
        profile = {
            "guest_id": str(key),
            "status": "ACTIVE",
            "date_of_birth": born.isoformat(),
            "emergency_contact": {
                "name": "Sam Rivera",
                "phone": f"+1 555 01{seed % 100:02d}",
                "relationship": "friend",
            },
        }
        return {**profile, **(special.differs if special else {})}

    def certifications(self, key: UUID) -> list[Answer]:
        """Return what a guest is certified for: an ordinary one for everything that trips require."""
        special = self._specials.get(key)
        held: Mapping[str, str | None] = {DIVER: None, FIRST_AID: f"{self._today().year + 3}-12-31"}
        if special and special.certifications is not None:
            held = special.certifications
        return [{"certification": name, "expiry_date": last_day} for name, last_day in held.items()]

    def trip(self, key: UUID) -> Answer:
        """Return a trip of the catalog."""
        special, seed = self._specials.get(key), _seed(key)
        cents = CHEAPEST_CENTS + seed % (DEAREST_CENTS - CHEAPEST_CENTS + 1)
        offer = {
            "id": str(key),
            "status": "ACTIVE",
            "min_participants": 1,
            "max_participants": 12,
            "base_price": float(Decimal(cents) / 100),
            "age_minimum": None,
            "required_certifications": [],
            "duration_hours": 2 + seed % (LONGEST_HOURS - 1),
        }
        return {**offer, **(special.differs if special else {})}

    def _answering(self, answer: Callable[[UUID], object]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            try:
                key = UUID(request.match_info["id"])
            except ValueError:
                return _problem(400, "VALIDATION_FAILED")
            status = self._specials[key].status if key in self._specials else 200
            return web.json_response(answer(key)) if status == 200 else _problem(status, "SIMULATED")

        return handle


def _seed(key: UUID) -> int:
    return int.from_bytes(blake2b(key.bytes, digest_size=8).digest(), "big")


def _problem(status: int, code: str) -> web.Response:
    return web.json_response(
        {"error": code, "message": "This is how the simulation answers such an id."}, status=status
    )


async def _ready(_: web.Request) -> web.Response:
    return web.json_response({"status": "ready"})


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description="Simulated guest profiles and trip catalog.")
    parser.add_argument("--host", default=LOOPBACK, help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, required=True, help="port to listen on")
    given = parser.parse_args()
    web.run_app(
        Simulation().application(),
        host=given.host,
        port=given.port,
        access_log=None,
        print=None,
        shutdown_timeout=STOP_LIMIT_S,
    )


if __name__ == "__main__":
    main()
