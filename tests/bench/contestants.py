"""Who takes part: this service, and its peers."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from subprocess import CalledProcessError
from typing import Protocol

import asyncpg

from tests.bench.arena import DONE_LIMIT_S, LOOKED_EVERY_S, Arena, an_arena
from tests.bench.ground import Ground
from tests.bench.peers import environment
from tests.bench.peers.pgbench import Pgbench
from tests.bench.verdict import Verdict, judge
from tests.bench.workload import Workload
from tests.conditions import eventually


class AnyContestant(Protocol):
    """Does a workload, as fast as it can."""

    @property
    def name(self) -> str:
        """What it is called in a table."""

    def missing(self, ground: Ground) -> str:
        """Return why it can't take part here; nothing if it can."""

    async def run(self, ground: Ground, workload: Workload) -> Verdict:
        """Do a workload."""


@dataclass(frozen=True)
class Contestant:
    """Workers that read the command topic, each a process `python -m arguments…`."""

    name: str
    arguments: Sequence[str]
    workers: int = 1
    package: str = "reservations"
    """What its workers import."""
    in_grown: bool = False
    """Whether it works in a database that has grown for years."""

    def missing(self, ground: Ground) -> str:
        """Return why it can't take part here."""
        if self.in_grown and not ground.grown:
            return "no database that has grown is named"
        return "" if find_spec(self.package) else f"{self.package} is not installed"

    async def run(self, ground: Ground, workload: Workload) -> Verdict:
        """Do a workload on topics of its own, and a database of its own or one that has grown."""
        async with an_arena(ground, ground.grown if self.in_grown else None) as arena:
            await arena.fill(workload)
            try:
                await self.work(arena, workload)
            except AssertionError as failure:
                await arena.stop()
                verdict = await judge(arena, workload)
                return replace(verdict, wrongs=(str(failure), *verdict.wrongs))
            return await judge(arena, workload)

    async def work(self, arena: Arena, workload: Workload) -> None:
        """Let the workers do it, and end."""
        for _ in range(self.workers):
            arena.launch(self.arguments, self.python(arena.folder))
        await self.done(arena, workload)
        await arena.stop()

    def python(self, folder: Path) -> Path:
        """Return the interpreter of its workers."""
        return Path(sys.executable)

    async def done(self, arena: Arena, workload: Workload) -> None:
        """Wait until all is done: for who commits what is done only, until all is committed."""
        await arena.all_committed(len(workload.messages))


async def nothing_left(arena: Arena, query: str) -> None:
    """Wait until a query is answered with true."""
    connection = await asyncpg.connect(arena.database_url)

    async def answer() -> bool:
        arena.check_alive()
        return bool(await connection.fetchval(query))

    try:
        await eventually(answer, limit_s=DONE_LIMIT_S, every_s=LOOKED_EVERY_S)
    finally:
        await connection.close()


@dataclass(frozen=True)
class Procrastinate(Contestant):
    """Jobs in the database, made of the messages before the workers start."""

    package: str = "procrastinate"

    async def work(self, arena: Arena, workload: Workload) -> None:
        """Make the jobs, then let them be done."""
        from tests.bench.peers.procrastinate_worker import defer

        await defer(arena.database_url, workload.messages)
        await super().work(arena, workload)

    async def done(self, arena: Arena, workload: Workload) -> None:
        """Wait until no job is left."""
        await nothing_left(
            arena, "SELECT NOT EXISTS (SELECT FROM procrastinate_jobs WHERE status IN ('todo', 'doing'))"
        )


@dataclass(frozen=True)
class Dbos(Contestant):
    """Workflows in the database, made of the messages by its own consumer."""

    def missing(self, ground: Ground) -> str:
        """Make its environment, and return why that can't be done."""
        try:
            self.python(ground.folder)
        except CalledProcessError as reason:
            return f"{' and '.join(environment.DBOS)} can't be installed: {reason}"
        return ""

    def python(self, folder: Path) -> Path:
        """Return the interpreter of its environment."""
        return environment.python_with(environment.DBOS, folder / "dbos")

    async def done(self, arena: Arena, workload: Workload) -> None:
        """Wait until every message is a workflow, and then until none is left: it commits what is only enqueued."""
        await super().done(arena, workload)
        await nothing_left(
            arena,
            "SELECT NOT EXISTS (SELECT FROM dbos.workflow_status WHERE status IN ('ENQUEUED', 'PENDING', 'DELAYED'))",
        )


def _peer(worker: str, *arguments: str) -> Sequence[str]:
    return (f"tests.bench.peers.{worker}", *arguments)


def _twice(contestant: Contestant) -> Contestant:
    return replace(contestant, name=f"{contestant.name}, two workers", workers=2)


WORKER = ("reservations.app.cli", "worker")
OURS = Contestant("svc-reservations, one worker", WORKER)
OURS_GROWN = replace(OURS, name="svc-reservations, one worker, grown database", in_grown=True)
OURS_TWICE = Contestant("svc-reservations, two workers", WORKER, workers=2)
FAUST = Contestant(
    "stock Faust agent",
    _peer("faust_worker", "--loop", "uvloop", "worker", "-l", "warn", "--without-web"),
    package="faust",
)
#: More consumers than 4 are of no more use on two cores, but do no harm either.
FASTSTREAM = Contestant("FastStream, 12 consumers", _peer("faststream_worker", "12"), package="faststream")
FASTSTREAM_BATCHES = Contestant("FastStream, batches", _peer("faststream_batches", "500"), package="faststream")
PROCRASTINATE = Procrastinate("procrastinate, 8 jobs at a time", _peer("procrastinate_worker", "8"))
CONTESTANTS: Mapping[str, AnyContestant] = {
    "ours": OURS,
    "ours-twice": OURS_TWICE,
    "ours-grown": OURS_GROWN,
    "pgbench": Pgbench("pgbench, no Kafka"),
    "faust": FAUST,
    "faust-twice": _twice(FAUST),
    "faststream": FASTSTREAM,
    "faststream-twice": _twice(FASTSTREAM),
    "faststream-batches": FASTSTREAM_BATCHES,
    "faststream-batches-twice": _twice(FASTSTREAM_BATCHES),
    "procrastinate": PROCRASTINATE,
    "procrastinate-twice": _twice(PROCRASTINATE),
    "dbos": Dbos("DBOS, in the order of partitions", _peer("dbos_worker", "partition")),
    "dbos-unordered": Dbos("DBOS, in no order", _peer("dbos_worker", "none")),
}
