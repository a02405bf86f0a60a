"""Careful callers over REST: they repeat under the same key what was not answered, and read what they wrote."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID, uuid5

import aiohttp

from reservations.http.writes import IDEMPOTENCY_NAMESPACE
from reservations.models.access import ANYBODY
from tests.bookings import a_payment
from tests.faults.chance import DUPLICATES, READS, STALE, Chance, Json
from tests.faults.deployment import PAYMENTS, Deployment
from tests.faults.journal import Journal
from tests.faults.sends import Sends

CHANGES = 0.6  # of what a caller asks; the rest are new bookings
REQUEST_LIMIT_S = 20
RETRY_PAUSE_S = 0.25
REFUSALS = range(400, 500)
MOVES = {
    "PENDING": ("CONFIRMED",),
    "CONFIRMED": ("GEAR_ASSIGNED", "CHECKED_IN", "NO_SHOW"),
    "GEAR_ASSIGNED": ("CONFIRMED", "CHECKED_IN"),
    "CHECKED_IN": ("IN_PROGRESS",),
    "IN_PROGRESS": ("COMPLETED",),
}


class Pace(Protocol):
    """How long callers go on, and how fast."""

    @property
    def goes_on(self) -> bool:
        """Whether something new may be asked."""

    @property
    def is_over(self) -> bool:
        """Whether even what was not answered is given up."""

    async def rest(self, least_s: float = 0.0) -> None:
        """Pause between two things, less long when the load stops."""


@dataclass
class Known:
    """A reservation as a caller last saw it."""

    reservation_id: str
    rev: int
    status: str


@dataclass(frozen=True)
class Request:
    """A write over REST, with the key under which it may be repeated."""

    kind: str
    method: str
    path: str
    key: str
    body: Json | None = None
    reservation_id: str | None = None
    expected_rev: int | None = None

    @property
    def command_id(self) -> UUID:
        """Return the id of the command that the gateway makes of it."""
        return uuid5(IDEMPOTENCY_NAMESPACE, f"{ANYBODY.name} {self.key}")


class Caller:
    """One caller, who asks one thing after the other."""

    def __init__(self, deployment: Deployment, journal: Journal, sends: Sends, pace: Pace, chance: Chance) -> None:
        self._deployment = deployment
        self._journal = journal
        self._sends = sends
        self._pace = pace
        self._chance = chance
        self._known: list[Known] = []

    async def call(self) -> None:
        """Book and change until the load stops."""
        while self._pace.goes_on:
            if self._known and self._chance.hits(CHANGES):
                await self._change(self._chance.choice(self._known))
            else:
                await self.book()
            await self._pace.rest()

    async def book(self) -> None:
        """Make a reservation, and pay for it where it waits for that."""
        body = self._chance.booking()
        made = await self._perform(Request("reservation.create", "POST", "/reservations", self._key(), body))
        if made and made["status"] == "PENDING":
            payment = a_payment(made["id"], body["total_amount"], **self._chance.payment_ids())
            await self._sends.message(PAYMENTS, payment)

    def _key(self) -> str:
        return str(self._chance.uuid())

    # ---- changes ----

    async def _change(self, known: Known) -> None:
        is_stale = self._chance.hits(STALE)
        stale_rev = known.rev + (1 if known.rev == 1 else -1)
        changes: list[Callable[[Known, int], Request]] = [self._update, self._cancel, self._join, *[self._move] * 3]
        request = self._chance.choice(changes)(known, stale_rev if is_stale else known.rev)
        answer = await self._perform(request)
        if answer is None and not is_stale:
            self._known.remove(known)  # a payment has changed it, or it is at its end

    def _move(self, known: Known, rev: int) -> Request:
        target = self._chance.choice(MOVES.get(known.status, ("CANCELLED",)))
        path, body = f"/reservations/{known.reservation_id}/status", {"target_status": target, "_rev": rev}
        return Request("reservation.transition", "PUT", path, self._key(), body, known.reservation_id, rev)

    def _update(self, known: Known, rev: int) -> Request:
        changes: list[Json] = [
            {"party_size": self._chance.randint(1, 4)},
            {"trip_date": self._chance.another_date()},
            {"special_requirements": "Vegan meals"},
        ]
        path, body = f"/reservations/{known.reservation_id}", {**self._chance.choice(changes), "_rev": rev}
        return Request("reservation.update", "PATCH", path, self._key(), body, known.reservation_id, rev)

    def _cancel(self, known: Known, _: int) -> Request:
        path = f"/reservations/{known.reservation_id}?reason=WEATHER"
        return Request("reservation.cancel", "DELETE", path, self._key(), None, known.reservation_id)

    def _join(self, known: Known, _: int) -> Request:
        path = f"/reservations/{known.reservation_id}/participants"
        body = {"guest_id": str(self._chance.uuid()), "role": "COMPANION"}
        return Request("participant.add", "POST", path, self._key(), body, known.reservation_id)

    # ---- asking ----

    async def _perform(self, request: Request) -> Json | None:
        """Ask until there is an answer, now and then twice at once; return it if it is a success."""
        creates = request.kind == "reservation.create"
        self._journal.note(
            "sent",
            command_id=request.command_id,
            lane="rest",
            kind=request.kind,
            reservation_id=request.reservation_id,
            expected_rev=request.expected_rev,
            seats=request.body["party_size"] if creates and request.body else None,
        )
        times = 2 if self._chance.hits(DUPLICATES) else 1
        answer, *_ = await asyncio.gather(*(self._insist(request) for _ in range(times)))
        if answer:
            await self._remember(request, answer)
        return answer

    async def _insist(self, request: Request) -> Json | None:
        while not self._pace.is_over:
            status, body = await self._ask(request.method, request.path, request.body, request.key)
            self._journal.note(
                "answer",
                command_id=request.command_id,
                status=status,
                code=body.get("error"),
                reservation_id=body.get("id", request.reservation_id),
                rev=body.get("_rev", body.get("rev_by_etag")),
            )
            if status in (200, 201):
                return body
            if status in REFUSALS:
                return None
            await asyncio.sleep(RETRY_PAUSE_S)
        return None

    async def _remember(self, request: Request, answer: Json) -> None:
        reservation_id = str(answer.get("id", request.reservation_id))
        rev = int(answer["_rev"] if "_rev" in answer else answer["rev_by_etag"])
        known = next((each for each in self._known if each.reservation_id == reservation_id), None)
        if known is None:
            known = Known(reservation_id, rev, answer["status"])
            self._known.append(known)
        known.rev, known.status = rev, answer.get("status", known.status)
        if self._chance.hits(READS):
            await self._read(known)

    async def _read(self, known: Known) -> None:
        status, body = await self._ask("GET", f"/reservations/{known.reservation_id}", None, None)
        said = {"reservation_id": known.reservation_id, "answered_rev": known.rev}
        self._journal.note("read", **said, status=status, seen_rev=body.get("_rev"))

    async def _ask(self, method: str, path: str, body: Json | None, key: str | None) -> tuple[int, Json]:
        headers = {"Idempotency-Key": key} if key else {}
        limit = aiohttp.ClientTimeout(total=REQUEST_LIMIT_S)
        url, session = self._deployment.gateway_url + path, self._deployment.session
        try:
            async with session.request(method, url, json=body, headers=headers, timeout=limit) as response:
                answer: Json = await response.json()
                tag = response.headers.get("ETag")
                return response.status, {**answer, "rev_by_etag": int(tag.strip('"')) if tag else None}
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return 0, {}
