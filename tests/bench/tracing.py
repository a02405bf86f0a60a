"""What tracing costs an agent for each command, beside an engine and a broker that take no time.

`python -m tests.bench.tracing` prints, for batches of 1 and of 200 commands, the processor time of the agent's own
work: put together without tracing's seams, with them while it is off, in unsampled traces, and in sampled ones until a
collector in another process has them. The ways take turns; the least of the rounds counts.
"""

import argparse
import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from time import process_time
from typing import Any
from uuid import uuid4

from prometheus_client import CollectorRegistry

from reservations.agents.commands import CommandAgent
from reservations.agents.decoding import decode_command
from reservations.agents.publications import Publication
from reservations.agents.survival import Patience, Survivor
from reservations.agents.telling import Teller
from reservations.app import logs, tracing
from reservations.app.metrics import WorkerMetrics
from reservations.app.observation import Watcher
from reservations.app.settings import load_settings
from reservations.app.tracing.seams import LaneTracing
from reservations.models.events import Announcement
from reservations.models.results import OutcomeKind
from reservations.models.topics import CREATED
from reservations.models.worksheet import Outcome
from tests.bench.backlog import Commands

BATCHES = {1: 300, 200: 4}
ROUNDS = 30
SAMPLED = b"00-%032x-00f067aa0ba902b7-01"
UNSAMPLED = b"00-%032x-00f067aa0ba902b7-00"


@dataclass(slots=True)
class Message:
    """A message as the broker gives it."""

    value: bytes
    key: bytes
    headers: list[tuple[str, bytes]]
    offset: int
    topic: str = "reservations.commands"
    partition: int = 0
    timestamp: float = 0.0


@dataclass(frozen=True, slots=True)
class Way:
    """A way to handle a batch, the trace context of its commands, and what sends the spans that are left."""

    handle: Callable[[Sequence[Any]], Awaitable[Any]]
    trace: bytes = SAMPLED
    flush: Callable[[], object] = lambda: None


class Nothing:
    """Applies and publishes in no time; every command makes one event and one result."""

    async def apply(self, commands: Sequence[Any]) -> list[Outcome]:
        """Return an outcome for each command."""
        return [_outcome(command) for command in commands]

    async def publish(self, publications: Sequence[Publication]) -> None:
        """Publish nothing."""


def _outcome(command: Any) -> Outcome:
    reservation_id = command.command_id
    announcement = Announcement(str(uuid4()), "reservation.created", "2027-01-01T00:00:00Z", str(reservation_id), "{}")
    return Outcome(command, OutcomeKind.APPLIED, None, reservation_id, "{}", (announcement,))


def an_agent(lane: LaneTracing | None) -> Callable[[Sequence[Any]], Awaitable[Any]]:
    """Return how an agent handles a batch, put together with tracing's seams or without them."""
    patience = Patience(asyncio.Event(), lambda *_: None)
    see = Watcher(WorkerMetrics(CollectorRegistry())).see
    engine: Any = lane.engine(Nothing()) if lane else Nothing()
    agent = CommandAgent(
        decode=lane.decode(decode_command) if lane else decode_command,
        survivor=Survivor(engine, patience),
        publisher=lane.publisher(Nothing()) if lane else Nothing(),
        tell=Teller(CREATED.name).tell,
        patience=patience,
        on_verdict=lane.see(see) if lane else see,
    )
    return lane.handle(agent.handle) if lane else agent.handle


async def measure(way: Way, size: int, times: int) -> float:
    """Return how long the agent takes for one command, in us."""
    commands = Commands()
    batches = [
        [Message(*commands.one(), [("traceparent", way.trace % uuid4().int)], offset) for offset in range(size)]
        for _ in range(times)
    ]
    begun = process_time()
    for batch in batches:
        await (await way.handle(batch))()
    way.flush()
    return (process_time() - begun) * 1e6 / (size * times)


async def compare(rounds: int) -> None:
    """Measure every way in turns, and print the least of each."""
    off = tracing.begin(load_settings(), "worker")
    collector = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.collector", stdin=PIPE, stdout=PIPE)
    assert collector.stdout is not None
    url = (await collector.stdout.readline()).decode().strip()
    os.environ.update({"TRACING": "on", "OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_MAX_QUEUE_SIZE": "100000"})
    on: Any = tracing.begin(load_settings(), "worker")
    flush = on._provider.force_flush
    ways = {
        "without seams": Way(an_agent(None)),
        "off": Way(an_agent(off.lane())),
        "on, not sampled": Way(an_agent(on.lane()), UNSAMPLED, flush),
        "on, sampled": Way(an_agent(on.lane()), SAMPLED, flush),
    }
    for size, times in BATCHES.items():
        print("\n".join(await lines(ways, size, times, rounds)))
    await on.stop()
    await collector.communicate(b"")


async def lines(ways: Mapping[str, Way], size: int, times: int, rounds: int) -> list[str]:
    """Measure batches of one size; return what to print."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds):
        for name in [*ways][turn % len(ways) :] + [*ways][: turn % len(ways)]:
            found[name].append(await measure(ways[name], size, times))
    return [f"batches of {size:3}, {name:16} {min(all_us):7.1f} us a command" for name, all_us in found.items()]


def main() -> None:
    """Compare, without log lines."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.tracing", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often each way is measured")
    logs.configure("bench", "error")
    asyncio.run(compare(parser.parse_args().rounds))


if __name__ == "__main__":
    main()
