"""Telling what became of a batch: the events, results and dead letters that each verdict asks for."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import chain
from uuid import UUID

from reservations.agents.decoding import Unreadable
from reservations.agents.intake import Delivery
from reservations.agents.publications import (
    Publication,
    dead_letter,
    event,
    payment_dead_letter,
    result_aside,
    results,
)
from reservations.agents.survival import Poisoned
from reservations.models.errors import ErrorCode, Rejected
from reservations.models.payments import needs_a_person
from reservations.models.results import set_aside
from reservations.models.worksheet import Outcome

Verdict = Outcome | Poisoned | Unreadable
Waves = Counter[UUID | None]


class Teller:
    """Knows what is to be published, each reservation's events in waves of their own."""

    def __init__(self, payments_topic: str) -> None:
        self._payments_topic = payments_topic

    def tell(self, verdicts: Sequence[tuple[Delivery, Verdict]]) -> Iterable[Publication]:
        """Return what is to be published of the deliveries of a batch."""
        waves: Waves = Counter()
        return chain.from_iterable(self._tell(delivery, verdict, waves) for delivery, verdict in verdicts)

    def _tell(self, cause: Delivery, verdict: Verdict, waves: Waves) -> list[Publication]:
        if isinstance(verdict, Unreadable):
            return _tell_unreadable(cause, verdict)
        if isinstance(verdict, Poisoned):
            return _tell_poisoned(cause, verdict)
        first = waves[verdict.reservation_id]
        waves[verdict.reservation_id] += len(verdict.announcements)
        events = [event(cause, each, wave) for wave, each in enumerate(verdict.announcements, start=first)]
        return [*events, *results(cause, verdict, first), *self._tell_a_person(cause, verdict)]

    def _tell_a_person(self, cause: Delivery, outcome: Outcome) -> list[Publication]:
        """Return dead letters for the refused payments that somebody must look at."""
        now = datetime.now(UTC)
        letters = [
            payment_dead_letter(each.command, self._payments_topic, _refusal(each), now)
            for each in outcome.released
            if needs_a_person(each.command, each.code)
        ]
        if needs_a_person(outcome.command, outcome.code):
            letters.append(dead_letter(cause, _refusal(outcome), now))
        return letters


def _refusal(outcome: Outcome) -> Rejected:
    code = outcome.code or ErrorCode.INTERNAL_ERROR
    return Rejected(code, "The payment was refused; the result of its event_id says why.")


def _tell_unreadable(cause: Delivery, unreadable: Unreadable) -> list[Publication]:
    now = datetime.now(UTC)
    letter = dead_letter(cause, unreadable.reason, now)
    if unreadable.command_id is None:
        return [letter]
    return [letter, result_aside(cause, set_aside(unreadable.command_id, unreadable.reason, now))]


def _tell_poisoned(cause: Delivery, poisoned: Poisoned) -> list[Publication]:
    now = datetime.now(UTC)
    reason = Rejected(
        ErrorCode.COMMAND_DEAD_LETTERED,
        f"The command could not be applied ({poisoned.error}); it was set aside for a person to look at.",
    )
    told = set_aside(poisoned.command.command_id, reason, now, poisoned.command)
    return [dead_letter(cause, reason, now), result_aside(cause, told)]
