"""How long a create over REST takes, alone and while an import fills the bulk lane.

`python -m tests.bench.rest --rate 50 --rate 200 --rate 500 [--seconds 60] [--rounds 3] [--broker embedded|kafka]`

Real processes: PostgreSQL with durable commits, a broker, one worker, one gateway that log as they do by default, and
an open-loop load generator. In each round every rate is run without and with a backlog, one after the other. One JSON
line for each run; then, for each kind of run, the medians over the rounds.
"""

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from statistics import median
from typing import Any

from reservations.app.stack import broker, postgres
from reservations.app.stack.home import Home
from reservations.app.stack.up import EMBEDDED_BROKER
from reservations.migrations.runner import migrate
from tests.apache_kafka.__main__ import a_cluster
from tests.apache_kafka.libraries import fetch
from tests.bench.backlog import a_backlog
from tests.bench.figures import cpu_s, machine_busy_s, medians
from tests.servers import apart, running
from tests.service import Service, a_service

SETTINGS = {"KAFKA_PARTITIONS": "12", "POOL_MIN_SIZE": "10", "POOL_MAX_SIZE": "40"}
BACKLOG = 20_000


@contextmanager
def servers(kind: str, folder: Path) -> Iterator[tuple[str, str, Mapping[str, str]]]:
    """Give the addresses of a durable PostgreSQL and of a broker, and the settings that the broker demands."""
    home = Home(folder / "home")
    database = apart(postgres.prepare(home))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, database.data.parent, ignore_errors=True)
        stack.enter_context(running(database.program, database.is_ready))
        if kind == "kafka":
            yield database.dsn, stack.enter_context(a_cluster(fetch(), 1)).address, {}
        else:
            embedded = broker.prepare(home)
            stack.enter_context(running(embedded.program, embedded.is_ready))
            yield database.dsn, embedded.address, EMBEDDED_BROKER


async def measure(service: Service, *, rate: float, seconds: float, backlog: int, seed: int) -> dict[str, Any]:
    """Return the figures of one run; `backlog` commands wait in the bulk lane meanwhile."""
    keeping = a_backlog(service, backlog) if backlog else nullcontext()
    async with keeping as kept:
        before, busy = _cpu_s(service), machine_busy_s()
        figures = await _load(service, rate, seconds, seed)
        spent = {f"{name}_cpu_s": round(spent_s - before[name], 2) for name, spent_s in _cpu_s(service).items()}
        spent["machine_cpu_s"] = round(machine_busy_s() - busy, 1)
        left = kept.waiting.copy() if kept else []
    waited = {"backlog_least": min(left), "backlog_median": int(median(left))} if left else {}
    return {"rate": rate, "seconds": seconds, "backlog": backlog, **figures, **spent, **waited}


async def _load(service: Service, rate: float, seconds: float, seed: int) -> dict[str, Any]:
    generator = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.open_loop", service.gateway_url),
        *("--rate", str(rate), "--seconds", str(seconds), "--seed", str(seed)),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await generator.communicate()
    assert generator.returncode == 0, "the load generator failed"
    figures: dict[str, Any] = json.loads(output)
    return figures


def _cpu_s(service: Service) -> dict[str, float]:
    return {process.name: cpu_s(process.popen.pid) for process in service.processes}


async def run(asked: argparse.Namespace, folder: Path, dsn: str, kafka: str, demands: Mapping[str, str]) -> None:
    """Run every kind of load in every round, and print the figures."""
    await migrate(dsn)
    settings = {**SETTINGS, "LOG_LEVEL": asked.log_level, **demands}
    kinds = [(rate, backlog) for rate in asked.rate for backlog in (0, asked.backlog)[: 2 if asked.backlog else 1]]
    runs: dict[tuple[float, int], list[dict[str, Any]]] = {kind: [] for kind in kinds}
    async with a_service(dsn, kafka, "", folder, settings) as service:
        await service.start("worker")
        await service.start("gateway")
        for number in range(asked.rounds):
            for kind in kinds:
                rate, backlog = kind
                seed = asked.seed + number
                figures = await measure(service, rate=rate, seconds=asked.seconds, backlog=backlog, seed=seed)
                _print({"broker": asked.broker, "round": number, **figures})
                runs[kind].append(figures)
    for each in runs.values():
        _print({"broker": asked.broker, "medians_of": len(each), **medians(each)})


def _print(figures: Mapping[str, Any]) -> None:
    print(json.dumps(figures), flush=True)


def _asked(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.rest", description=__doc__)
    parser.add_argument("--rate", type=float, action="append", help="requests per second; may be given several times")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--backlog", type=int, default=BACKLOG, help="commands in the bulk lane; 0: runs without only")
    parser.add_argument("--broker", choices=("embedded", "kafka"), default="embedded")
    parser.add_argument("--log-level", default="info")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(arguments)
    asked.rate = asked.rate or [50.0, 200.0, 500.0]
    return asked


def main() -> None:
    """Run the command line."""
    asked, folder = _asked(), Path(tempfile.mkdtemp(prefix="rest-"))
    try:
        with servers(asked.broker, folder) as (dsn, kafka, demands):
            asyncio.run(run(asked, folder, dsn, kafka, demands))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
