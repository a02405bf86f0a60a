"""Play rounds of faults: `python -m tests.faults --rounds N --seed S [--fault NAME …]`."""

import argparse
import asyncio
import logging
import sys
import tempfile
from pathlib import Path

import uvloop

from tests.apache_kafka.libraries import KafkaUnavailableError
from tests.faults.faults import FAULTS
from tests.faults.ground import a_ground
from tests.faults.report import table
from tests.faults.rounds import Report, play


async def main(asked: argparse.Namespace) -> int:
    """Play the rounds; return the exit status."""
    names = asked.fault or list(FAULTS)
    reports: list[Report] = []
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        async with a_ground(Path(folder)) as ground:
            for number in range(asked.rounds):
                fault = FAULTS[names[number % len(names)]]
                report = await play(ground, fault, f"{asked.seed}/{number}", number, asked.folder, asked.mutant)
                reports.append(report)
                verdict = f"void: {report.void}" if report.void else "FAILED" if report.violations else "passed"
                print(
                    number,
                    report.fault,
                    verdict,
                    report.successes,
                    report.recovery_s,
                    round(report.took_s, 1),
                    flush=True,
                )
                for violation in report.violations:
                    print("   ", str(violation)[:1500], flush=True)
    print(table(reports))
    return 1 if any(report.violations for report in reports) else 0


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--rounds", type=int, default=len(FAULTS))
    parser.add_argument("--seed", default="1")
    parser.add_argument("--fault", action="append", choices=list(FAULTS))
    parser.add_argument("--mutant", default="")
    parser.add_argument("--folder", type=Path, default=Path(".faults"))
    return parser.parse_args()


if __name__ == "__main__":
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    sys.exit(uvloop.run(main(arguments())))
