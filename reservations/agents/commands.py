"""The command agent: messages become commands, and what came of them goes out before they are acknowledged."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from itertools import chain
from uuid import UUID

from reservations.agents.decoding import Unreadable
from reservations.agents.intake import Delivery
from reservations.agents.publications import Publication, dead_letter, event, payment_dead_letter, result_aside, results
from reservations.agents.publisher import Publisher
from reservations.agents.survival import Patience, Poisoned, Survivor, kafka_is_away
from reservations.models.commands import AnyCommand, RecordPayment
from reservations.models.errors import ErrorCode, Rejected
from reservations.models.payments import needs_a_person
from reservations.models.results import set_aside
from reservations.models.worksheet import Outcome

Verdict = Outcome | Poisoned | Unreadable
Decode = Callable[[Delivery], AnyCommand | Unreadable]


class CommandAgent:
    """Handles the deliveries of the command topics."""

    def __init__(
        self,
        decode: Decode,
        survivor: Survivor,
        publisher: Publisher,
        patience: Patience,
        on_verdict: Callable[[Delivery, Verdict], None],
    ) -> None:
        self._decode = decode
        self._survivor = survivor
        self._publisher = publisher
        self._patience = patience
        self._on_verdict = on_verdict

    async def handle(self, deliveries: Sequence[Delivery]) -> None:
        """Apply what the deliveries ask for and publish what came of it.

        When this returns, every delivery may be acknowledged; when it raises, none.
        """
        verdicts = await self._judge([self._decode(delivery) for delivery in deliveries])
        told = list(zip(deliveries, verdicts, strict=True))
        publications = list(tell(told))
        await self._patience.insist("Kafka", lambda: self._publisher.publish(publications), kafka_is_away)
        for delivery, verdict in told:
            self._on_verdict(delivery, verdict)

    async def _judge(self, read: Sequence[AnyCommand | Unreadable]) -> list[Verdict]:
        commands = [command for command in read if not isinstance(command, Unreadable)]
        outcomes = iter(await self._survivor.apply(commands) if commands else ())
        return [each if isinstance(each, Unreadable) else next(outcomes) for each in read]


def tell(verdicts: Iterable[tuple[Delivery, Verdict]]) -> Iterable[Publication]:
    """Return what is to be published, each reservation's events in waves of their own."""
    waves: Counter[UUID | None] = Counter()
    return chain.from_iterable(_tell(delivery, verdict, waves) for delivery, verdict in verdicts)


def _tell(cause: Delivery, verdict: Verdict, waves: Counter[UUID | None]) -> list[Publication]:
    if isinstance(verdict, Unreadable):
        return _tell_unreadable(cause, verdict)
    if isinstance(verdict, Poisoned):
        return _tell_poisoned(cause, verdict)
    first = waves[verdict.reservation_id]
    waves[verdict.reservation_id] += len(verdict.announcements)
    events = [event(cause, each, wave) for wave, each in enumerate(verdict.announcements, start=first)]
    return [*events, *results(cause, verdict, first), *_tell_a_person(cause, verdict)]


def _tell_a_person(cause: Delivery, outcome: Outcome) -> list[Publication]:
    """Return dead letters for the refused payments that somebody must look at."""
    now = datetime.now(UTC)
    letters = [
        payment_dead_letter(each.command, _reason(each), now)
        for each in outcome.released
        if isinstance(each.command, RecordPayment) and _matters(each)
    ]
    return [dead_letter(cause, _reason(outcome), now), *letters] if _matters(outcome) else letters


def _reason(outcome: Outcome) -> Rejected:
    code = outcome.code or ErrorCode.INTERNAL_ERROR
    return Rejected(code, "The payment was refused; the result of its event_id says why.")


def _matters(outcome: Outcome) -> bool:
    command, code = outcome.command, outcome.code
    return isinstance(command, RecordPayment) and code is not None and needs_a_person(command, code)


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
