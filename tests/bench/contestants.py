"""Who takes part: this service, and its peers."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.arena import Arena, an_arena
from tests.bench.ground import Ground
from tests.bench.verdict import Verdict, judge
from tests.bench.workload import Workload


@dataclass(frozen=True)
class Contestant:
    """Workers that read the command topic, each a process `python -m arguments…`."""

    name: str
    arguments: Sequence[str]
    workers: int = 1

    async def run(self, ground: Ground, workload: Workload) -> Verdict:
        """Do a workload on a database and topics of its own."""
        async with an_arena(ground) as arena:
            await arena.fill(workload)
            await self._work(arena, workload)
            return await judge(arena, workload)

    async def _work(self, arena: Arena, workload: Workload) -> None:
        for _ in range(self.workers):
            arena.launch(self.arguments)
        await arena.all_committed(len(workload.messages))
        await arena.stop()


WORKER = ("reservations.app.cli", "worker")
OURS = Contestant("svc-reservations, one worker", WORKER)
OURS_TWICE = Contestant("svc-reservations, two workers", WORKER, workers=2)
