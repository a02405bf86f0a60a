"""Play rounds of faults: `python -m tests.faults --rounds N --seed S [--fault NAME …] [--mutant NAME]`.

A round that proves nothing (its fault did not land, too little succeeded) is played again. Ends with 1 if a promise was
broken, or if a fault never counted. What is kept of a failed round lies in the folder that is printed; what every round
came to is added to results.jsonl there, of which `python -m tests.faults.report FILE …` makes a table.
"""

import argparse
import logging
import sys
import tempfile
from pathlib import Path

import uvloop

from tests.apache_kafka.libraries import KafkaUnavailableError
from tests.faults.faults import FAILPOINT_FAULTS, FAULTS, Fault
from tests.faults.ground import Ground, a_ground
from tests.faults.mutants import MUTANTS
from tests.faults.report import RESULTS, keep, line, table
from tests.faults.rounds import IMPOSSIBLE, Plan, Report, play

MOST_TRIES = 3


async def main(asked: argparse.Namespace) -> int:
    """Play the rounds; return the exit status."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # servers are away: that is what this is about
    names = list(FAILPOINT_FAULTS) if asked.failpoints else asked.fault or list(FAULTS)
    reports: list[Report] = []
    try:
        with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as folder:
            async with a_ground(Path(folder)) as ground:
                for number in range(asked.first, asked.first + (asked.rounds or len(names))):
                    reports += await counted(ground, asked, FAULTS[names[number % len(names)]], number)
    except KafkaUnavailableError as error:
        print(f"The faults were not played: no Apache Kafka. {error}")
        return 0
    print(table(reports))
    never_counted = {report.fault for report in reports} - {report.fault for report in reports if not report.void}
    impossible = {report.fault for report in reports if report.void == IMPOSSIBLE}
    return 1 if never_counted - impossible or any(report.violations for report in reports) else 0


async def counted(ground: Ground, asked: argparse.Namespace, fault: Fault, number: int) -> list[Report]:
    """Play a round until it counts, at most a few times; return what each time came to."""
    reports: list[Report] = []
    while not reports or (reports[-1].void not in ("", IMPOSSIBLE) and len(reports) < MOST_TRIES):
        seed = f"{asked.seed}/{number}" + (f"/{len(reports)}" if reports else "")
        plan = Plan(fault, seed, asked.folder / f"{number:04}-{fault.name}", asked.mutant)
        reports.append(await play(ground, plan, number))
        print(line(reports[-1]), flush=True)
        keep(reports[-1], asked.folder / RESULTS)
    return reports


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--rounds", type=int, help="one for each fault, if left out")
    parser.add_argument("--first", type=int, default=0, help="number of the first round, to play a failed one again")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--fault", action="append", choices=list(FAULTS), help="only these, in turn; may be repeated")
    parser.add_argument("--failpoints", action="store_true", help="only the deaths at the failpoints, one each")
    parser.add_argument("--mutant", default="", choices=["", *MUTANTS], help="put this defect into the workers")
    parser.add_argument(
        "--folder", type=Path, default=Path(".faults"), help="where histories of failed rounds are kept"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(uvloop.run(main(arguments())))
