"""The neighbours that know guests and trips, asked for all that a batch needs, within one budget of time."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from time import monotonic
from typing import TypeVar
from uuid import UUID

import aiohttp

from reservations.agents.answers import Answers
from reservations.agents.lookups import Clock, Lookup, ShortMemory, Ttls
from reservations.agents.neighbour_calls import Ending, NeighbourCalls, Observe
from reservations.models.eligibility import Absence, Guest, Surroundings, Trip

GUEST_PROFILES = "guest-profiles"
TRIP_CATALOG = "trip-catalog"

T = TypeVar("T")
Certifications = Mapping[str, date | None]


@dataclass(frozen=True, slots=True)
class NeighbourLimits:
    """How long, how often and how much. `budget_s` is for everything together, `max_concurrent` for each neighbour."""

    budget_s: float = 5
    call_timeout_s: float = 2
    attempts: int = 2
    max_concurrent: int = 50
    trip_ttl_s: float = 60
    guest_ttl_s: float = 10
    max_trips: int = 5_000
    max_guests: int = 20_000


class Neighbours:
    """Asks the neighbours that are configured, and remembers for a short while what they answered."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        guest_profiles_url: str,
        trip_catalog_url: str,
        limits: NeighbourLimits,
        *,
        observe: Observe = lambda *_: None,
        clock: Clock = monotonic,
    ) -> None:
        """Keep whom to ask; an empty address is a neighbour that is not configured."""
        self._limits = limits
        self._session = session
        self._observe = observe
        self._clock = clock
        answers = Answers()
        self._guests: Lookup[Guest] | None = None
        self._certifications: Lookup[Certifications] | None = None
        self._trips: Lookup[Trip] | None = None
        if guest_profiles_url:
            profiles = self._calls(GUEST_PROFILES, guest_profiles_url)
            self._guests = self._lookup(GUEST_PROFILES, _asking(profiles, "/guests/{}", answers.guest))
            held = _asking(profiles, "/guests/{}/certifications", answers.certifications)
            self._certifications = self._lookup(GUEST_PROFILES, held)
        if trip_catalog_url:
            catalog = self._calls(TRIP_CATALOG, trip_catalog_url)
            self._trips = self._lookup(TRIP_CATALOG, _asking(catalog, "/trips/{}", answers.trip))

    async def surroundings(
        self,
        trip_ids: Collection[UUID],
        guest_ids: Collection[UUID],
        parties: Mapping[UUID, Collection[UUID]] | None = None,
    ) -> Surroundings:
        """Return what is known of trips and guests within the budget; never raise.

        Certifications are asked for when a trip requires any: of that trip's party, or of every guest when no parties
        are told.
        """
        deadline = asyncio.get_running_loop().time() + self._limits.budget_s
        guests, (trips, certifications) = await asyncio.gather(
            _find(self._guests, guest_ids, deadline),
            self._trips_and_certifications(trip_ids, guest_ids, parties, deadline),
        )
        return Surroundings(trips, None if guests is None else _certified(guests, certifications))

    async def _trips_and_certifications(
        self,
        trip_ids: Collection[UUID],
        guest_ids: Collection[UUID],
        parties: Mapping[UUID, Collection[UUID]] | None,
        deadline: float,
    ) -> tuple[Mapping[UUID, Trip | Absence] | None, Mapping[UUID, Certifications | Absence]]:
        trips = await _find(self._trips, trip_ids, deadline)
        requiring = [
            key for key, trip in (trips or {}).items() if isinstance(trip, Trip) and trip.required_certifications
        ]
        parties = dict.fromkeys(requiring, guest_ids) if parties is None else parties
        asked = {guest for trip_id in requiring for guest in parties.get(trip_id, ())}
        return trips, await _find(self._certifications, asked, deadline) or {}

    def _calls(self, name: str, url: str) -> NeighbourCalls:
        return NeighbourCalls(
            name,
            url,
            self._session,
            call_timeout_s=self._limits.call_timeout_s,
            attempts=self._limits.attempts,
            max_concurrent=self._limits.max_concurrent,
            observe=self._observe,
        )

    def _lookup(self, name: str, ask: Callable[[UUID], Awaitable[T | Absence]]) -> Lookup[T]:
        limits, of_guests = self._limits, name == GUEST_PROFILES
        ttl_s = limits.guest_ttl_s if of_guests else limits.trip_ttl_s
        return Lookup(
            ask,
            ShortMemory(limits.max_guests if of_guests else limits.max_trips, self._clock),
            Ttls(ttl_s, min(ttl_s, limits.guest_ttl_s)),
            lambda: self._observe(name, Ending.REMEMBERED, 0.0),
        )


def _asking(
    calls: NeighbourCalls, path: str, read: Callable[[UUID, bytes], T]
) -> Callable[[UUID], Awaitable[T | Absence]]:
    return lambda key: calls.get(path.format(key), partial(read, key))


async def _find(lookup: Lookup[T] | None, ids: Collection[UUID], deadline: float) -> dict[UUID, T | Absence] | None:
    return None if lookup is None else await lookup.find(ids, deadline)


def _certified(
    guests: Mapping[UUID, Guest | Absence], certifications: Mapping[UUID, Certifications | Absence]
) -> Mapping[UUID, Guest | Absence]:
    """Return the guests with the certifications that were asked for; of a guest without any the profiles know none."""
    return {key: _with(guest, certifications.get(key, Absence.UNAVAILABLE)) for key, guest in guests.items()}


def _with(guest: Guest | Absence, held: Certifications | Absence) -> Guest | Absence:
    if not isinstance(guest, Guest) or held is Absence.UNAVAILABLE:
        return guest
    return replace(guest, certifications={} if isinstance(held, Absence) else held)
