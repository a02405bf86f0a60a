"""Try the served API by its own OpenAPI document: `python -m tests.schema --cases 2000 --seed 1 --role staff`."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from reservations.app.stack.home import Home
from tests.schema.ground import NOBODY, ROLES, a_guarded_service, credentials
from tests.schema.trial import PHASES, Verdict, try_out
from tests.servers import Server, embedded_broker, embedded_postgres
from tests.tokens import Issuer


def main() -> int:
    """Try it as one role; return 1 when something is wrong or an operation had too few cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=2000, help="cases for each operation, at least")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--role", choices=[*ROLES, NOBODY], default="staff")
    given = parser.parse_args()
    begun = perf_counter()
    with tempfile.TemporaryDirectory(prefix="schema-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the database server may run as somebody else
        with (
            embedded_postgres(Home(folder / "postgres")) as postgres,
            embedded_broker(Home(folder / "broker")) as kafka,
        ):
            verdict = asyncio.run(_try_out(given, postgres, kafka, folder))
    _tell(verdict)
    print(f"As {given.role}, seed {given.seed}, in {perf_counter() - begun:.0f} s")
    return 1 if verdict.failures or any(seen.total() < given.cases for seen in verdict.offered().values()) else 0


async def _try_out(given: argparse.Namespace, postgres: Server, kafka: Server, folder: Path) -> Verdict:
    issuer = Issuer()
    async with a_guarded_service(postgres.address, kafka.address, kafka.kafka_demands, issuer, folder) as service:
        who = credentials(given.role, issuer)
        return await try_out(service.gateway_url, who, folder, cases=given.cases, seed=given.seed, phases=PHASES)


def _tell(verdict: Verdict) -> None:
    print(verdict.printed)
    print("| operation | cases | by a link | statuses |\n|---|---|---|---|")
    print("\n".join(verdict.table()))


if __name__ == "__main__":
    sys.exit(main())
