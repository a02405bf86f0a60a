"""How long reads take, and how they compare with a bare handler: `python -m tests.bench.reads DATABASE_URL`.

The database is filled already, by tests.bench.generate or not at all. A line of JSON is printed for each measurement.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter
from typing import Any

import asyncpg

from reservations.app.stack.home import Home
from tests.bench.keep_alive import callers, share
from tests.bench.questions import busy_guests, by_id, questions, sample
from tests.conditions import eventually
from tests.servers import embedded_broker
from tests.service import Process, Service, a_service

CONNECTIONS = 8
#: No more than one question at once for each processor: what waits for a processor is not what a read costs.
ASKING = 2
SIZE_ESTIMATE = """
SELECT coalesce(sum(reltuples) FILTER (WHERE reltuples > 0), 0)::bigint
FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = 'reservations.reservations'::regclass"""


async def measure(
    database_url: str,
    kafka: str,
    folder: Path,
    *,
    requests: int = 200,
    seconds: float = 6,
    rounds: int = 5,
    seed: int = 1,
) -> dict[str, Any]:
    """Return each question's latency in milliseconds, and the reads by id in a second beside a bare handler's."""
    connection = await asyncpg.connect(database_url)
    try:
        rows = await sample(connection, requests, seed)
        asked = questions(datetime.now(UTC).date(), await busy_guests(connection) or ["0" * 32])
        size = await connection.fetchval(SIZE_ESTIMATE)
    finally:
        await connection.close()
    async with _both(database_url, kafka, folder) as (gateway, bare):
        latency = {}
        for name, question in asked.items():
            latency[name] = await _latency(gateway, [question(row) for row in rows])
            print(json.dumps({"question": name, **latency[name]}), flush=True)
        throughput = await _throughput(gateway, bare, [by_id(row) for row in rows], seconds, rounds)
    return {"reservations": size, "latency_ms": latency, "by_id_per_s": throughput}


async def _latency(url: str, paths: Sequence[str]) -> dict[str, float]:
    async with callers(url, ASKING) as made:
        # What a question is like is learnt first: statements are prepared, pages read.
        await share(made, paths[: len(paths) // 10 + ASKING])
        took_ms = [1000 * took_s for took_s in await share(made, paths)]
    parts = quantiles(took_ms, n=100, method="inclusive")
    shown = {"p50": parts[49], "p95": parts[94], "p99": parts[98], "max": max(took_ms)}
    return {"requests": len(took_ms), **{name: round(value, 2) for name, value in shown.items()}}


async def _throughput(gateway: str, bare: str, paths: Sequence[str], seconds: float, rounds: int) -> dict[str, Any]:
    found: dict[str, list[float]] = {"gateway": [], "bare": []}
    for _ in range(rounds):
        for name, url in (("gateway", gateway), ("bare", bare)):
            found[name].append(round(await _rate(url, paths, seconds)))
    ours, theirs = median(found["gateway"]), median(found["bare"])
    return {**found, "gateway_median": ours, "bare_median": theirs, "ratio": round(ours / theirs, 3)}


async def _rate(url: str, paths: Sequence[str], seconds: float) -> float:
    async with callers(url, CONNECTIONS) as made:
        await share(made, islice(cycle(paths), 20 * CONNECTIONS))
        begun = perf_counter()
        took = await share(made, _until(begun + seconds, paths))
        return len(took) / (perf_counter() - begun)


def _until(deadline: float, paths: Sequence[str]) -> Iterator[str]:
    for path in cycle(paths):
        if perf_counter() > deadline:
            return
        yield path


@asynccontextmanager
async def _both(database_url: str, kafka: str, folder: Path) -> AsyncIterator[tuple[str, str]]:
    """Run a gateway and a bare handler; give their addresses."""
    settings = {
        "KAFKA_ENABLE_IDEMPOTENCE": "false",
        "POOL_MIN_SIZE": str(CONNECTIONS),
        "POOL_MAX_SIZE": str(CONNECTIONS),
    }
    async with a_service(database_url, kafka, "", folder, settings) as service:
        await service.start("gateway")
        bare = _launch_bare(service)
        await eventually(lambda: asyncio.to_thread(bare.url), limit_s=30)
        yield service.gateway_url, str(bare.url())


def _launch_bare(service: Service) -> Process:
    log = service.folder / "bare.log"
    with log.open("wb") as output:
        popen = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.bare", str(CONNECTIONS)],
            env={**os.environ, **service.variables()},
            stdout=output,
            stderr=output,
        )
    process = Process("bare", popen, log)
    service.processes.append(process)
    return process


def main() -> None:
    """Measure one database."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database_url")
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reads-") as name:
        folder = Path(name)
        with embedded_broker(Home(folder / "home")) as kafka:
            limits = {"requests": given.requests, "seconds": given.seconds, "rounds": given.rounds}
            print(json.dumps(asyncio.run(measure(given.database_url, kafka.address, folder, **limits))))


if __name__ == "__main__":
    main()
