"""Hunt the mutants: play rounds with each until it is caught, `python -m tests.faults.hunt [NAME …]`.

Ends with 1 if one gets away. A round without a defect comes first, and must find nothing.
"""

import logging
import sys
import tempfile
from collections.abc import Sequence
from itertools import count, cycle, islice
from pathlib import Path

import uvloop

from tests.apache_kafka.libraries import KafkaUnavailableError
from tests.faults.faults import FAULTS
from tests.faults.ground import Ground, a_ground
from tests.faults.mutants import MUTANTS, Mutant
from tests.faults.report import line
from tests.faults.rounds import Plan, Report, play

MOST_ROUNDS = 20
SEED = "hunt"


async def main(names: Sequence[str]) -> int:
    """Hunt; return the exit status."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    numbers = count()
    try:
        with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as folder:
            async with a_ground(Path(folder)) as ground:
                healthy = await play(ground, plan_of("kill-worker", ""), next(numbers))
                print(line(healthy), flush=True)
                print("| mutant | rounds until caught | fault | promises broken |\n|---|---|---|---|", flush=True)
                caught = [await hunt(ground, MUTANTS[name], numbers) for name in names or MUTANTS]
    except KafkaUnavailableError as error:
        print(f"The mutants were not hunted: no Apache Kafka. {error}")
        return 0
    return 0 if healthy.has_passed and all(caught) else 1


async def hunt(ground: Ground, mutant: Mutant, numbers: "count[int]") -> bool:
    """Play rounds with a mutant until one breaks a promise; tell whether one did."""
    for played, fault in enumerate(islice(cycle(mutant.faults), MOST_ROUNDS), start=1):
        report = await play(ground, plan_of(fault, mutant.name, played), next(numbers))
        if report.violations:
            print(f"| {mutant.name} | {played} | {fault} | {broken(report)} |", flush=True)
            return True
    print(f"| {mutant.name} | not caught | | |", flush=True)
    return False


def plan_of(fault: str, mutant: str, played: int = 0) -> Plan:
    """Return a round with a mutant."""
    return Plan(FAULTS[fault], f"{SEED}/{mutant}/{played}", Path(".faults") / f"hunt-{mutant}", mutant)


def broken(report: Report) -> str:
    """Return which promises were broken, and how often."""
    return "; ".join(f"{each.promise} ({each.count})" for each in report.violations)


if __name__ == "__main__":
    sys.exit(uvloop.run(main(sys.argv[1:])))
