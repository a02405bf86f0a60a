# mypy: disable-error-code="assignment, attr-defined, method-assign"
"""Deliberate defects, each to be caught by the checker: they show that a round without a violation says something.

A mutant changes the workers of the harness only, before they start. `faults` are those that bring it to light.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import orjson
from faust.transport.drivers import aiokafka as driver

from reservations.agents import engine, intake, telling
from reservations.agents.commands import CommandAgent
from reservations.agents.engine import Engine
from reservations.agents.intake import Lane
from reservations.agents.publications import event
from reservations.agents.survival import Patience
from reservations.agents.transport import BatchConsumer
from reservations.models import worksheet
from reservations.models.books import Books
from reservations.models.worksheet import Worksheet
from reservations.tables import inbox, reservations, trip_slots
from reservations.tables.round_trips import write_at_once

TAKE_WITHIN_S = 0.05


@dataclass(frozen=True)
class Mutant:
    """A defect, how it is put into a worker, and which faults bring it to light."""

    name: str
    apply: Callable[[], None]
    faults: Sequence[str] = ("die-after-commit", "kill-worker")


def acknowledge_before_commit() -> None:
    """Acknowledge a batch, and commit that, before it is applied."""
    original = Lane.__init__

    def init(self: Lane, app: Any, apply: Any, *args: Any) -> None:
        async def eager(messages: Sequence[Any]) -> Any:
            for message in messages:
                message.ack(app.consumer)
            await app.consumer.commit()
            return await apply(messages)

        original(self, app, eager, *args)

    Lane.__init__ = init


def no_inbox() -> None:
    """Remember nothing that was handled."""

    of_messages = inbox.of_messages
    inbox.of_messages = lambda _: replace(of_messages(()), is_needed=False)
    inbox.insert = lambda _: None


def inbox_outside_the_transaction() -> None:
    """Write the inbox in a transaction of its own, after that of the effect."""
    apply, insert = Engine.apply, inbox.insert
    kept: ContextVar[list[Any]] = ContextVar("kept")

    def keep(entries: Sequence[Any]) -> None:
        kept.get().extend(entries)

    async def applying(self: Engine, commands: Any) -> Any:
        kept.set([])
        outcomes = await apply(self, commands)
        async with self._pool.acquire() as connection:
            await write_at_once(connection, [insert(kept.get())])
        return outcomes

    inbox.insert = keep
    Engine.apply = applying


def event_before_commit() -> None:
    """Publish events when everything is written and not yet committed."""
    handle = CommandAgent.handle
    at_work: ContextVar[tuple[Any, Any]] = ContextVar("at_work")

    async def handling(self: CommandAgent, deliveries: Any) -> Any:
        at_work.set((self, deliveries))
        return await handle(self, deliveries)

    async def applying(self: Engine, commands: Any) -> Any:
        surroundings = await self._look_around(commands)
        agent, deliveries = at_work.get()
        async with self._pool.acquire() as connection, connection.transaction():
            sheet, outcomes = await self._decide(connection, commands, surroundings)
            await engine.write(connection, sheet)
            told = [event(deliveries[0], each, 0) for outcome in outcomes for each in outcome.announcements]
            await agent._publisher.publish(told)
        return outcomes

    CommandAgent.handle = handling
    Engine.apply = applying


def random_event_id() -> None:
    """Give an event another id each time it is published again."""
    again = worksheet.announcement_again

    def renamed(told: dict[str, str]) -> Any:
        return again({**told, "event_id": str(uuid4())})

    worksheet.announcement_again = renamed


def check_then_update_seats() -> None:
    """Take seats by what was read of them, without a lock and without a look at what is there by then."""
    unlocked = {name: sql.replace("FOR UPDATE OF s", "") for name, sql in trip_slots.SQL.items()}
    change = unlocked["change"].replace("(c.taken + c.peak <= c.capacity) IS NOT FALSE", "true")
    trip_slots.SQL = {**unlocked, "change": change}


def update_without_rev() -> None:
    """Apply a change whatever revision it expects."""
    decide = worksheet.decide

    def deciding(state: Any, command: Any, context: Any) -> Any:
        return decide(state, command.model_copy(update={"expected_rev": None}), context)

    worksheet.decide = deciding


def lost_update() -> None:
    """Read reservations without a lock, and write over whatever is there then."""
    update = reservations.SQL["update"].replace("AND r._rev = u.read_rev", "")
    lock = reservations.SQL["lock"].replace("FOR UPDATE", "")
    reservations.SQL = {**reservations.SQL, "lock": lock, "update": update}


def early_payment_dropped() -> None:
    """Forget a payment that comes before its reservation."""

    def park(_: Worksheet, command: Any, __: Any) -> Any:
        return worksheet.Outcome(command, worksheet.OutcomeKind.PARKED, None, command.reservation_id, None)

    Worksheet._park = park


def parked_never_matched() -> None:
    """Let waiting payments wait when their reservation is made."""

    waiting_for = inbox.waiting_for
    inbox.waiting_for = lambda _: waiting_for(())


def poison_swallowed() -> None:
    """Pass over what can't be understood."""
    telling._tell_unreadable = lambda *_: []


def stock_take() -> None:
    """Read with Faust's own `take`, and let what fails leave the agent."""

    async def run(self: Lane, stream: Any) -> None:
        async for events in stream.take_events(self.pace.most, within=TAKE_WITHIN_S):
            rest = await self._apply([each.message for each in events])
            if rest:
                await rest()

    async def once(_: Patience, __: str, act: Any, ___: Any) -> Any:
        return await act()

    Lane.run = run
    Patience.insist = once


def stock_offsets_and_concurrency_2() -> None:
    """Commit as Faust itself does, with two batches of a partition at once."""

    def consume(app: Any, topic_name: str, *args: Any) -> Lane:
        lane = Lane(app, *args)
        app.agent(app.topic(topic_name), name=topic_name, concurrency=2)(lane.run)
        return lane

    BatchConsumer._new_offset = driver.Consumer._new_offset
    intake.consume = consume


def unsorted_locks() -> None:
    """Lock in whatever order."""
    for module, order in ((trip_slots, "s.trip_id, s.trip_date"), (reservations, "reservation_id")):
        sql: Mapping[str, str] = module.SQL
        module.SQL = {name: each.replace(f"ORDER BY {order}", "ORDER BY random()") for name, each in sql.items()}
    turns = "SELECT pg_advisory_xact_lock(hashtextextended(id, 0)) FROM unnest($1::text[]) AS id ORDER BY random()"
    inbox.SQL = {**inbox.SQL, "take_turns": turns}


def replay_answers_differently() -> None:
    """Answer a repetition with how the reservation would stand after it."""
    repeat = Worksheet._repeat

    def repeating(self: Worksheet, *args: Any) -> Any:
        outcome = repeat(self, *args)
        result = orjson.loads(outcome.result or "{}")
        if not result.get("reservation"):
            return outcome
        result["reservation"]["_rev"] += 1
        return replace(outcome, result=orjson.dumps(result).decode())

    Worksheet._repeat = repeating


def seats_leak() -> None:
    """Give back no seat."""
    take = Books._take

    def taking(self: Books, slot: Any, seats: int, capacity: int | None = None) -> None:
        take(self, slot, max(seats, 0), capacity)

    Books._take = taking


def other_lanes_not_told_first() -> None:
    """Tell a change without what another lane may not have told yet."""
    init = Worksheet.__init__

    def alone(self: Worksheet, context: Any, seen: Any, read: Any, waiting: Any, _: Any) -> None:
        init(self, context, seen, read, waiting)

    Worksheet.__init__ = alone


def waiting_payments_not_told_again() -> None:
    """Forget what came of waiting payments when the creation they waited for is repeated."""
    worksheet._kept_of = lambda _: "[]"


def acknowledge_before_publish() -> None:
    """Acknowledge what is committed before the broker has its events."""

    async def finish(self: Lane, batch: list[Any], rest: Any) -> None:
        self._acknowledge(batch)
        await self._app.consumer.commit()
        await asyncio.sleep(0)
        if rest:
            await rest()

    Lane._finish = finish


BROKEN_DATABASE = ("terminate-backends", "drop-postgres", "kill-postgres")
MUTANTS: Mapping[str, Mutant] = {
    mutant.name: mutant
    for mutant in (
        Mutant("acknowledge-before-commit", acknowledge_before_commit, ("die-before-commit", "die-after-begin")),
        Mutant("acknowledge-before-publish", acknowledge_before_publish, ("die-between-events", "drop-broker")),
        Mutant("no-inbox", no_inbox),
        Mutant("inbox-outside-the-transaction", inbox_outside_the_transaction),
        Mutant("event-before-commit", event_before_commit, ("reset-in-commit", "kill-postgres")),
        Mutant("random-event-id", random_event_id),
        Mutant("check-then-update-seats", check_then_update_seats),
        Mutant("update-without-rev", update_without_rev),
        Mutant("lost-update", lost_update),
        Mutant("early-payment-dropped", early_payment_dropped),
        Mutant("parked-never-matched", parked_never_matched),
        Mutant("poison-swallowed", poison_swallowed),
        Mutant("stock-take", stock_take, BROKEN_DATABASE),
        Mutant("stock-offsets-and-concurrency-2", stock_offsets_and_concurrency_2),
        Mutant("unsorted-locks", unsorted_locks),
        Mutant("replay-answers-differently", replay_answers_differently),
        Mutant("seats-leak", seats_leak),
        Mutant("waiting-payments-not-told-again", waiting_payments_not_told_again, ("die-after-commit", "kill-worker")),
        Mutant("other-lanes-not-told-first", other_lanes_not_told_first, ("die-after-commit", "die-between-events")),
    )
}
