"""Producers that tell stories: a booking, its payments, and changes to it right behind, in one lane."""

import json

from tests.bookings import a_command, a_payment, key_of
from tests.faults.callers import Pace
from tests.faults.chance import (
    DUPLICATES,
    EARLY,
    OUT_OF_ORDER,
    POISON,
    REFUNDED,
    STALE,
    WRONG_CURRENCY,
    Chance,
    Json,
)
from tests.faults.deployment import PAYMENTS
from tests.faults.sends import Sends

STORY_PAUSE_S = 0.03
EXPECTING = 0.3  # of the changes say at which revision they expect the reservation

Story = list[tuple[str, Json]]


class StoryTeller:
    """One producer, in one lane."""

    def __init__(self, lane: str, sends: Sends, pace: Pace, chance: Chance) -> None:
        self._lane = lane
        self._sends = sends
        self._pace = pace
        self._chance = chance

    async def tell(self) -> None:
        """Tell one story after the other until the load stops."""
        while self._pace.goes_on:
            for topic, message in self._shuffled(self._story()):
                await self._sends.message(topic, message)
                if self._chance.hits(POISON):
                    await self._sends.poison(*self._poison(message))
                if self._chance.hits(DUPLICATES):
                    await self._sends.message(topic, message)
            await self._pace.rest(STORY_PAUSE_S)

    def _story(self) -> Story:
        booking, reservation_id = self._chance.booking(), self._chance.reservation_id()
        story: Story = [(self._lane, self._command("reservation.create", booking, reservation_id))]
        if booking["awaiting_payment"]:
            payments = self._payments(reservation_id, booking["total_amount"])
            story = [*payments, *story] if self._chance.hits(EARLY) else [*story, *payments]
        return [*story, *((self._lane, change) for change in self._changes(reservation_id))]

    def _payments(self, reservation_id: str, amount: float) -> Story:
        currency = "EUR" if self._chance.hits(WRONG_CURRENCY) else "USD"
        payments = [a_payment(reservation_id, amount, currency=currency, **self._chance.payment_ids())]
        if self._chance.hits(REFUNDED):
            payments.append(a_payment(reservation_id, amount, status="REFUNDED", **self._chance.payment_ids()))
        return [(PAYMENTS, payment) for payment in payments]

    def _changes(self, reservation_id: str) -> list[Json]:
        kinds: list[tuple[str, Json]] = [
            ("reservation.update", {"party_size": self._chance.randint(1, 4)}),
            ("participant.add", {"guest_id": str(self._chance.uuid())}),
            ("reservation.transition", {"target_status": self._chance.choice(["GEAR_ASSIGNED", "CHECKED_IN"])}),
            ("reservation.cancel", {"reason": "WEATHER"}),
        ]
        chosen = kinds[: self._chance.randint(0, len(kinds))]
        return [
            self._command(kind, payload, reservation_id, self._expected(rev))
            for rev, (kind, payload) in enumerate(chosen, start=1)
        ]

    def _expected(self, rev: int) -> int | None:
        if self._chance.hits(STALE):
            return rev + 7
        return rev if self._chance.hits(EXPECTING) else None

    def _command(self, kind: str, payload: Json, reservation_id: str, expected_rev: int | None = None) -> Json:
        more = {"expected_rev": expected_rev} if expected_rev else {}
        return a_command(kind, payload, command_id=str(self._chance.uuid()), reservation_id=reservation_id, **more)

    def _shuffled(self, story: Story) -> Story:
        if len(story) > 1 and self._chance.hits(OUT_OF_ORDER):
            at = self._chance.randrange(len(story) - 1)
            story[at], story[at + 1] = story[at + 1], story[at]
        return story

    def _poison(self, message: Json) -> tuple[str, bytes, bytes]:
        """Return what can't be understood, under the key of what can, for one of the lanes."""
        value = self._chance.choice(
            [
                self._chance.randbytes(self._chance.randint(1, 300)),
                json.dumps(message).encode()[:-9],
                json.dumps({"type": "reservation.burn", "command_id": str(self._chance.uuid())}).encode(),
                json.dumps({"payload": {}, "note": str(self._chance.uuid())}).encode(),
            ]
        )
        return self._chance.choice([self._lane, PAYMENTS]), key_of(message), value
