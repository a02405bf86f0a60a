"""Whether a gateway and a worker stay as large as they are: `python -m tests.bench.memory --gateway 200000`.

A gateway answers reads, creates and refused requests as fast as it can; a worker applies commands as fast as it can.
Their resident size is looked at every second. One JSON line for each second, then the verdict: the median size in the
last quarter of the time against that in the second quarter.
"""

import argparse
import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from statistics import median
from time import monotonic
from typing import Any
from uuid import uuid4

from reservations.migrations.runner import migrate
from tests.bench.backlog import a_backlog
from tests.bench.figures import resident_mb
from tests.bench.ground import APACHE, EMBEDDED, Ground, a_ground
from tests.bench.open_loop import creates
from tests.bench.rest import settings_on
from tests.bench.wire import Connection, connect, request_of
from tests.bookings import book
from tests.conditions import eventually
from tests.service import Process, Service, a_service

CONNECTIONS = 32
LOOKED_EVERY_S = 1.0
LONGEST_S = 3_600
WAITING = 5_000
FLAT_SHARE, FLAT_MB = 0.05, 10.0
FEWEST_SAMPLES = 20
REFUSED = 400, 404, 409


def verdict(sizes_mb: Sequence[float]) -> dict[str, Any]:
    """Return what became of the size: flat, when it grew by less than 5 % and less than 10 MB."""
    assert len(sizes_mb) >= FEWEST_SAMPLES, f"{len(sizes_mb)} samples are too few to tell: let it do more"
    quarter = len(sizes_mb) // 4
    second, last = median(sizes_mb[quarter : 2 * quarter]), median(sizes_mb[-quarter:])
    grown = last - second
    return {
        "second_quarter_mb": round(second, 1),
        "last_quarter_mb": round(last, 1),
        "grown_mb": round(grown, 1),
        "flat": grown < FLAT_SHARE * second and grown < FLAT_MB,
    }


async def watch(process: Process, done: Callable[[], int], work: Awaitable[Any]) -> list[float]:
    """Do the work; print and return the process's resident size as it was every second meanwhile."""
    working, begun, sizes = asyncio.ensure_future(work), monotonic(), list[float]()
    while not working.done():
        await asyncio.wait({working}, timeout=LOOKED_EVERY_S)
        sizes.append(resident_mb(process.popen.pid))
        _print({"process": process.name, "s": round(monotonic() - begun), "done": done(), "mb": sizes[-1]})
    await working
    return sizes


def requests(reservation_id: str) -> Iterator[bytes]:
    """Yield requests without end: reads, a search, creates, and some that are refused."""
    read = request_of("GET", f"/reservations/{reservation_id}")
    search = request_of("GET", f"/reservations?guest_id={uuid4()}")
    malformed = request_of("POST", "/reservations", b'{"guest_id": "nobody"}')
    for create in creates():
        missing = request_of("GET", f"/reservations/{uuid4()}")
        yield from (read, create, search, missing, read, create, malformed, read)


async def send(url: str, sent: Iterator[bytes], statuses: Counter[int]) -> None:
    """Send requests one after the other on a connection of its own."""
    connection = await connect(url)
    for request in sent:
        statuses[await _ask(connection, request)] += 1
    connection.close()


async def _ask(connection: Connection, request: bytes) -> int:
    answered: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    connection.send(request, answered.set_result)
    return await answered


async def load_gateway(service: Service, count: int) -> dict[str, Any]:
    """Send so many requests to a gateway; return the verdict and the counts by status."""
    await service.start("worker")
    gateway, statuses = await service.start("gateway"), Counter[int]()
    endless, statuses_seen = requests((await book(service))["reservation_id"]), statuses.total
    shared = (next(endless) for _ in range(count))
    sending = asyncio.gather(*(send(service.gateway_url, shared, statuses) for _ in range(CONNECTIONS)))
    sizes = await watch(gateway, statuses_seen, sending)
    assert set(statuses) <= {200, 201, *REFUSED}, statuses
    return {"process": "gateway", "requests": count, "statuses": dict(sorted(statuses.items())), **verdict(sizes)}


async def load_worker(service: Service, count: int) -> dict[str, Any]:
    """Have a worker apply so many commands; return the verdict."""
    worker = await service.start("worker")
    async with a_backlog(service, min(WAITING, count)) as backlog:

        def applied() -> int:
            return backlog.sent - backlog.waiting[-1] if backlog.waiting else 0

        async def enough() -> bool:
            return applied() >= count

        sizes = await watch(worker, applied, eventually(enough, limit_s=LONGEST_S, every_s=LOOKED_EVERY_S))
        done = applied()
    return {"process": "worker", "commands": done, **verdict(sizes)}


async def run(asked: argparse.Namespace, ground: Ground) -> bool:
    """Load what was asked for, and print the verdicts; tell whether all are flat."""
    await migrate(ground.database_url)
    verdicts = []
    async with a_service(ground.database_url, ground.kafka.address, "", ground.folder, settings_on(ground)) as service:
        for load, count in ((load_worker, asked.worker), (load_gateway, asked.gateway)):
            if count:
                verdicts.append(await load(service, count))
                _print(verdicts[-1])
                await asyncio.gather(*(process.stop() for process in service.processes))
    return all(each["flat"] for each in verdicts)


def _print(figures: Mapping[str, Any]) -> None:
    print(json.dumps(figures), flush=True)


def main() -> int:
    """Run the command line; return 1 when something grew."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.memory", description=__doc__)
    parser.add_argument("--worker", type=int, default=0, help="commands for the worker, such as 1000000")
    parser.add_argument("--gateway", type=int, default=0, help="requests for the gateway, such as 1000000")
    parser.add_argument("--broker", choices=(EMBEDDED, APACHE), default=EMBEDDED)
    asked = parser.parse_args()
    with a_ground(asked.broker) as ground:
        return 0 if asyncio.run(run(asked, ground)) else 1


if __name__ == "__main__":
    raise SystemExit(main())
