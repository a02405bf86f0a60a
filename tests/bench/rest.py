"""How long a create over REST takes, alone and while an import fills the bulk lane.

`python -m tests.bench.rest --rate 50 --rate 200 --rate 500 [--seconds 60] [--rounds 3] [--broker embedded|apache]`

Real processes: PostgreSQL with durable commits, a broker, one worker, one gateway that log as they do by default, and
an open-loop load generator. In each round every rate is run without and with a backlog, one after the other. One JSON
line for each run; then, for each kind of run, the medians over the rounds.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from statistics import median
from typing import Any

from reservations.app.stack.up import EMBEDDED_BROKER
from reservations.migrations.runner import migrate
from tests.bench.backlog import a_backlog
from tests.bench.figures import cpu_s, machine_busy_s, medians
from tests.bench.ground import APACHE, EMBEDDED, Ground, a_ground
from tests.service import Service, a_service

SETTINGS = {"KAFKA_PARTITIONS": "12", "POOL_MIN_SIZE": "10", "POOL_MAX_SIZE": "40"}
BACKLOG = 20_000


def settings_on(ground: Ground) -> dict[str, str]:
    """Return the settings of a service on these servers, as `make run` has them on the embedded broker."""
    return {**SETTINGS, **(EMBEDDED_BROKER if ground.kafka.embedded else {})}


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


async def run(asked: argparse.Namespace, ground: Ground) -> None:
    """Run every kind of load in every round, and print the figures."""
    await migrate(ground.database_url)
    settings = {**settings_on(ground), "LOG_LEVEL": asked.log_level}
    kinds = [(rate, backlog) for rate in asked.rate for backlog in (0, asked.backlog)[: 2 if asked.backlog else 1]]
    runs: dict[tuple[float, int], list[dict[str, Any]]] = {kind: [] for kind in kinds}
    async with a_service(ground.database_url, ground.kafka.address, "", ground.folder, settings) as service:
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
    parser.add_argument("--broker", choices=(EMBEDDED, APACHE), default=EMBEDDED)
    parser.add_argument("--log-level", default="info")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(arguments)
    asked.rate = asked.rate or [50.0, 200.0, 500.0]
    return asked


def main() -> None:
    """Run the command line."""
    asked = _asked()
    with a_ground(asked.broker) as ground:
        asyncio.run(run(asked, ground))


if __name__ == "__main__":
    main()
