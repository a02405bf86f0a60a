"""An open-loop load generator, a process of its own: `python -m tests.bench.open_loop URL --rate 200 --seconds 60`.

Creates are sent at their intended times, whatever became of earlier ones, and each is timed from its intended time:
a request that had to wait for a free connection, or that the generator sent late, counts as slow (no coordinated
omission). Arrivals are one in each slot of 1/rate seconds, at a seeded random moment of it.
"""

import argparse
import asyncio
import json
import random
import selectors
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from time import perf_counter
from uuid import uuid4

from tests.bench.figures import latencies
from tests.bench.wire import Connection, connect, request_of
from tests.bookings import a_booking
from tests.conditions import eventually

WARM_UP_S = 3.0
ANSWER_LIMIT_S = 15.0
OPEN_AT_FIRST = 32
MAX_CONNECTIONS = 512
TRIP_DATES = 1_000


@dataclass(slots=True)
class Load:
    """Requests under way on a pool of connections, and what came of those that ended."""

    url: str
    idle: list[Connection] = field(default_factory=list)
    queued: deque[tuple[float, bytes]] = field(default_factory=deque)
    opened: int = 0
    took_s: list[float] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    under_way: int = 0

    async def open(self) -> None:
        """Open one more connection, and let it carry what waits."""
        self.opened += 1
        self._use(await connect(self.url))

    async def begin(self, intended: float, request: bytes) -> None:
        """Send a request on an idle connection, on a new one, or when one becomes idle."""
        self.under_way += 1
        self.late_s.append(perf_counter() - intended)
        self.queued.append((intended, request))
        if self.idle:
            self._use(self.idle.pop())
        elif self.opened < MAX_CONNECTIONS:
            await self.open()

    def _use(self, connection: Connection) -> None:
        if not connection.is_open:
            self.opened -= 1
        elif self.queued:
            intended, request = self.queued.popleft()
            connection.send(request, partial(self._ended, connection, intended))
        else:
            self.idle.append(connection)

    def _ended(self, connection: Connection, intended: float, status: int) -> None:
        self.took_s.append(perf_counter() - intended)
        self.statuses[status] += 1
        self.under_way -= 1
        self._use(connection)

    def forget(self) -> None:
        """Forget what was measured: it was for warming up."""
        self.took_s.clear()
        self.late_s.clear()
        self.statuses.clear()


def creates() -> Iterator[bytes]:
    """Yield creates of about 1 KB without end: distinct guests, two for each party, on so many trip dates."""
    trips = [str(uuid4()) for _ in range(TRIP_DATES)]
    for trip_id in cycle(trips):
        guests = [str(uuid4()), str(uuid4())]
        booking = a_booking(
            guest_id=guests[0],
            trip_id=trip_id,
            participants=[{"guest_id": guests[0], "role": "PRIMARY"}, {"guest_id": guests[1], "role": "COMPANION"}],
            party_size=2,
            currency="USD",
            booking_source="MOBILE_APP",
            special_requirements="One vegan and one gluten-free meal; the second guest carries an inhaler. " * 6,
            emergency_contact={"name": "Sam Rivera", "phone": "+1 555 0100", "relationship": "sister"},
        )
        yield request_of("POST", "/reservations", json.dumps(booking).encode())


def arrivals(rate: float, seconds: float, seed: int) -> Sequence[float]:
    """Return when requests are to be sent, in seconds from the start."""
    chance = random.Random(seed)  # noqa: S311  # no secret
    return [(slot + chance.random()) / rate for slot in range(int(rate * seconds))]


async def run(url: str, rate: float, seconds: float, seed: int) -> dict[str, object]:
    """Send the load; return the figures of what was sent after the warm-up."""
    load, requests = Load(url), creates()
    await asyncio.gather(*(load.open() for _ in range(OPEN_AT_FIRST)))
    await _send(load, requests, arrivals(rate, WARM_UP_S, seed))
    load.forget()
    await _send(load, requests, arrivals(rate, seconds, seed + 1))
    return {
        "sent": len(load.took_s),
        "statuses": {str(status): count for status, count in sorted(load.statuses.items())},
        **latencies(load.took_s),
        "sent_late_p99_ms": latencies(load.late_s)["p99_ms"],
        "connections": load.opened,
    }


async def _send(load: Load, requests: Iterator[bytes], times: Sequence[float]) -> None:
    start = perf_counter()
    for at in times:
        request = next(requests)
        delay = start + at - perf_counter()
        if delay > 0:
            await asyncio.sleep(delay)
        await load.begin(start + at, request)

    async def answered() -> bool:
        return load.under_way == 0

    await eventually(answered, limit_s=ANSWER_LIMIT_S)


class PunctualLoop(asyncio.SelectorEventLoop):
    """An event loop that wakes within microseconds: epoll's timeouts, and libuv's, are whole milliseconds."""

    def __init__(self) -> None:
        super().__init__(selectors.SelectSelector())


def main() -> None:
    """Run the command line: print the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.open_loop", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--rate", type=float, required=True, help="requests per second")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with asyncio.Runner(loop_factory=PunctualLoop) as runner:
        print(json.dumps(runner.run(run(asked.url, asked.rate, asked.seconds, asked.seed))))


if __name__ == "__main__":
    main()
