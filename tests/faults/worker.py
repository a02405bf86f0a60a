"""A worker as the harness starts it: the service's own, with failpoints in it, and a defect if one is named."""

import os
import sys
from pathlib import Path

from reservations.app import cli
from tests.faults import failpoints, mutants


def main() -> None:
    """Run a worker."""
    failpoints.install(failpoints.Switches(Path(os.environ["FAULT_SWITCHES"])))
    mutant = os.environ.get("FAULT_MUTANT")
    if mutant:
        mutants.MUTANTS[mutant].apply()
    sys.argv = ["reservations", "worker"]
    cli.main()


if __name__ == "__main__":
    main()
