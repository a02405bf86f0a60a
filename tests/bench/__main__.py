"""How fast the service and its peers are: `python -m tests.bench [--contestants ours faust] [--broker embedded]`."""

import asyncio
import json
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tests.bench import workload
from tests.bench.contestants import CONTESTANTS, AnyContestant
from tests.bench.ground import APACHE, EMBEDDED, Ground, a_ground
from tests.bench.machine import this_machine, ticks
from tests.bench.workload import Workload

WORKLOADS = {"W1": workload.drain, "W2": workload.mixed}


def main() -> None:
    """Run the contestants in turn, and print each verdict as a line of JSON, with how idle the machine was."""
    options = _options()
    with a_ground(options.broker) as bare:
        ground = replace(bare, grown=options.grown)
        _print({"machine": this_machine(ground.data, ground.programs_folder).shown(), **ground.programs})
        able = [CONTESTANTS[key] for key in options.contestants if _can_run(CONTESTANTS[key], ground)]
        for run in range(options.runs):
            work = WORKLOADS[options.workload](options.commands, options.seed + run)
            for contestant in able:
                _run(contestant, ground, work)


def _can_run(contestant: AnyContestant, ground: Ground) -> bool:
    missing = contestant.missing(ground)
    if missing:
        _print({"contestant": contestant.name, "missing": missing})
    return not missing


def _run(contestant: AnyContestant, ground: Ground, work: Workload) -> None:
    before = ticks()
    verdict = asyncio.run(contestant.run(ground, work))
    idle = before.idle_share_until(ticks())
    _print({"contestant": contestant.name, "workload": work.name, **verdict.shown(), "idle": idle})


def _print(line: Mapping[str, Any]) -> None:
    print(json.dumps(line), flush=True)


def _options() -> Namespace:
    parser = ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--workload", choices=WORKLOADS, default="W1")
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=["ours", "ours-twice"])
    parser.add_argument("--broker", choices=(EMBEDDED, APACHE), default=EMBEDDED)
    parser.add_argument("--commands", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1, help="another for each time in the same grown database")
    parser.add_argument("--grown", metavar="URL", help="a database that tests.bench.generate filled, for ours-grown")
    return parser.parse_args()


if __name__ == "__main__":
    main()
