"""How fast the service is: `python -m tests.bench [--workload W1] [--runs 5] [--broker embedded]`."""

import asyncio
import json
from argparse import ArgumentParser, Namespace

from tests.bench import workload
from tests.bench.contestants import OURS, OURS_TWICE
from tests.bench.ground import APACHE, EMBEDDED, a_ground

WORKLOADS = {"W1": workload.drain, "W2": workload.mixed}


def main() -> None:
    """Run the contestants in turn, and print each verdict as a line of JSON."""
    options = _options()
    with a_ground(options.broker) as ground:
        for run in range(options.runs):
            work = WORKLOADS[options.workload](options.commands, options.seed + run)
            for contestant in (OURS,) if options.only_one else (OURS, OURS_TWICE):
                verdict = asyncio.run(contestant.run(ground, work))
                print(json.dumps({"contestant": contestant.name, "workload": work.name, **verdict.shown()}), flush=True)


def _options() -> Namespace:
    parser = ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--workload", choices=WORKLOADS, default="W1")
    parser.add_argument("--broker", choices=(EMBEDDED, APACHE), default=EMBEDDED)
    parser.add_argument("--commands", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only-one", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
