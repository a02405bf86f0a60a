"""Play rounds of faults: `python -m tests.faults --rounds N --seed S [--fault NAME …] [--mutant NAME]`.

Ends with 1 if a promise was broken. What is kept of a failed round lies in the folder that is printed.
"""

import argparse
import logging
import sys
import tempfile
from pathlib import Path

import uvloop

from tests.apache_kafka.libraries import KafkaUnavailableError
from tests.faults.faults import FAULTS
from tests.faults.ground import a_ground
from tests.faults.mutants import MUTANTS
from tests.faults.report import line, table
from tests.faults.rounds import Plan, Report, play


async def main(asked: argparse.Namespace) -> int:
    """Play the rounds; return the exit status."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # servers are away: that is what this is about
    names = asked.fault or list(FAULTS)
    reports: list[Report] = []
    try:
        with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as folder:
            async with a_ground(Path(folder)) as ground:
                for number in range(asked.first, asked.first + asked.rounds):
                    fault = FAULTS[names[number % len(names)]]
                    plan = Plan(
                        fault, f"{asked.seed}/{number}", asked.folder / f"{number:04}-{fault.name}", asked.mutant
                    )
                    reports.append(await play(ground, plan, number))
                    print(line(reports[-1]), flush=True)
    except KafkaUnavailableError as error:
        print(f"The faults were not played: no Apache Kafka. {error}")
        return 0
    print(table(reports))
    return 1 if any(report.violations for report in reports) else 0


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--rounds", type=int, default=len(FAULTS))
    parser.add_argument("--first", type=int, default=0, help="number of the first round, to play a failed one again")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--fault", action="append", choices=list(FAULTS), help="only these, in turn; may be repeated")
    parser.add_argument("--mutant", default="", choices=["", *MUTANTS], help="put this defect into the workers")
    parser.add_argument(
        "--folder", type=Path, default=Path(".faults"), help="where histories of failed rounds are kept"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(uvloop.run(main(arguments())))
