"""What honest callers notice of connections that are held open: `python -m tests.bench.slow_sockets [--seconds 60]`.

Honest callers read and create at a steady pace; in every other run so many sockets are held open meanwhile by a process
of its own: idle ones, half heads, heads and bodies that drip a byte a second. One that is closed is opened again. One
JSON line for each run, then the medians without and with slow sockets.
"""

import argparse
import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from time import perf_counter
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from reservations.migrations.runner import migrate
from tests.bench.figures import cpu_s, latencies, machine_busy_s, medians, resident_mb
from tests.bench.ground import APACHE, EMBEDDED, Ground, a_ground
from tests.bench.rest import settings_on
from tests.bookings import a_booking, book
from tests.service import Service, a_service
from tests.sockets import Client, connect

READS_PER_S, WRITES_PER_S = 100, 20
DRIP_S = 1.0
POST = b"POST /reservations HTTP/1.1\r\nHost: slow\r\nContent-Type: application/json\r\n"
#: What each kind of slow socket sends at once, and what it drips.
KINDS = (
    (b"", b""),
    (b"GET /reservations HTTP/1.1\r\nHost: slow\r\n", b""),
    (b"GET /reservations HTTP/1.1\r\nX: ", b"x" * 1000),
    (POST + b"Content-Length: 60000\r\n\r\n", b" " * 1000),
    (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n" * 1000),
)


async def attack(url: str, count: int) -> None:
    """Hold so many slow sockets open, until the process is ended."""
    await asyncio.gather(*(_hold(url, *KINDS[number % len(KINDS)]) for number in range(count)))


async def _hold(url: str, first: bytes, rest: bytes) -> None:
    while True:
        with suppress(OSError, TimeoutError):
            await _once(await connect(url), first, rest)
        await asyncio.sleep(0.1)


async def _once(client: Client, first: bytes, rest: bytes) -> None:
    client.send(first)
    dripping = asyncio.create_task(client.drip(rest, DRIP_S))
    try:
        await client.ended_after(limit_s=3600)
    finally:
        dripping.cancel()
        client.close()


@asynccontextmanager
async def _slow_sockets(url: str, count: int) -> AsyncIterator[None]:
    if not count:
        yield
        return
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.slow_sockets", "--attack", url, "--sockets", str(count))
    )
    try:
        yield
    finally:
        process.kill()
        await process.wait()


async def _honest(service: Service, seconds: float) -> dict[str, Any]:
    path = f"/reservations/{(await book(service))['id']}"
    reads, writes = await asyncio.gather(
        _paced(service, READS_PER_S, seconds, "GET", path), _paced(service, WRITES_PER_S, seconds, "POST")
    )
    return {"reads": reads, "writes": writes}


async def _paced(service: Service, rate: float, seconds: float, method: str, path: str = "/reservations") -> Any:
    took_s: list[float] = []
    statuses: Counter[int] = Counter()
    begun = perf_counter()

    async def ask(due: float) -> None:
        body = a_booking() if method == "POST" else None
        status, _, _ = await service.ask(method, path, json=body)
        took_s.append(perf_counter() - due)
        statuses[status] += 1

    asking = []
    for number in range(int(rate * seconds)):
        due = begun + number / rate
        await asyncio.sleep(max(0.0, due - perf_counter()))
        asking.append(asyncio.create_task(ask(due)))
    await asyncio.gather(*asking)
    return {**latencies(took_s), "statuses": dict(statuses)}


async def _measure(service: Service, seconds: float, sockets: int) -> dict[str, Any]:
    gateway = next(process.popen.pid for process in service.processes if process.name == "gateway")
    async with _slow_sockets(service.gateway_url, sockets):
        busy, spent = machine_busy_s(), cpu_s(gateway)
        found = await _honest(service, seconds)
        open_now = await _metric(service, "reservations_http_connections")
    return {
        "slow_sockets": sockets,
        **{f"{kind}_{name}": value for kind, each in found.items() for name, value in each.items()},
        "open_connections": open_now,
        "gateway_cpu_s": round(cpu_s(gateway) - spent, 2),
        "gateway_mb": resident_mb(gateway),
        "machine_cpu_s": round(machine_busy_s() - busy, 1),
    }


async def _metric(service: Service, name: str) -> float | None:
    _, text, _ = await service.ask("GET", "/metrics")
    samples = {each.name: each.value for family in text_string_to_metric_families(text) for each in family.samples}
    return samples.get(name)


async def run(asked: argparse.Namespace, ground: Ground) -> None:
    """Run without and with slow sockets, in turn, and print the figures."""
    await migrate(ground.database_url)
    runs: dict[int, list[dict[str, Any]]] = {0: [], asked.sockets: []}
    settings = settings_on(ground)
    async with a_service(ground.database_url, ground.kafka.address, "", ground.folder, settings) as service:
        await service.start("worker")
        await service.start("gateway")
        for number in range(asked.rounds):
            for sockets, found in runs.items():
                found.append(await _measure(service, asked.seconds, sockets))
                _print({"broker": asked.broker, "round": number, **found[-1]})
    for found in runs.values():
        _print({"broker": asked.broker, "medians_of": len(found), **medians(found)})


def _print(figures: dict[str, Any]) -> None:
    print(json.dumps(figures), flush=True)


def _asked(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.slow_sockets", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sockets", type=int, default=500)
    parser.add_argument("--broker", choices=(EMBEDDED, APACHE), default=EMBEDDED)
    parser.add_argument("--attack", metavar="URL", help="only hold sockets open, against a gateway that runs")
    return parser.parse_args(arguments)


def main() -> None:
    """Run the command line."""
    asked = _asked()
    if asked.attack:
        asyncio.run(attack(asked.attack, asked.sockets))
        return
    with a_ground(asked.broker) as ground:
        asyncio.run(run(asked, ground))


if __name__ == "__main__":
    main()
