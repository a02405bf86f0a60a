"""An upgrade without a pause: the last release works on the schema of this one, and hands over to it."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import pytest

from reservations.migrations.runner import FOLDER, latest_version, migrations_in
from reservations.models.topics import CREATED, STATUS_CHANGED
from tests.bookings import book
from tests.conditions import eventually
from tests.databases import Connection
from tests.own_service import QUICK, connected
from tests.service import Service

REPOSITORY = Path(__file__).parents[2]
CALLERS, ENOUGH = 4, 10
PATIENT = {"COMMAND_TIMEOUT_S": "30"}


def git(*arguments: str) -> bytes:
    """Return what git prints; skip the test where it can't tell."""
    try:
        return subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("the last release's code can't be had: no git, or a clone without its history")


@pytest.fixture(scope="module")
def last_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the code as it was before the newest migration came."""
    newest = max(FOLDER.glob("*.sql")).relative_to(REPOSITORY)
    added = git("log", "--diff-filter=A", "--format=%H", "--", str(newest)).decode().split()
    if not added:
        pytest.skip(f"{newest} is not committed yet")
    folder = tmp_path_factory.mktemp("last-release")
    code = git("archive", f"{added[-1]}^", "reservations")
    subprocess.run(["tar", "--extract", "--directory", folder], input=code, check=True)
    return folder


@dataclass(slots=True)
class Callers:
    """Book, change and cancel over whatever gateway there is, one reservation after the other."""

    service: Service
    ended: list[str] = field(default_factory=list)
    _stopping: bool = False

    async def call(self) -> None:
        """Go on until told to stop."""
        while not self._stopping:
            made = await book(self.service)
            path = f"/reservations/{made['id']}"
            changed, answer, _ = await self.service.ask(
                "PUT", f"{path}/status", json={"target_status": "GEAR_ASSIGNED", "_rev": made["_rev"]}
            )
            assert changed == 200, answer
            cancelled, answer, _ = await self.service.ask("DELETE", f"{path}?reason=WEATHER")
            assert (cancelled, answer["_rev"]) == (200, 3), answer
            self.ended.append(made["id"])

    async def more(self) -> None:
        """Wait until some more reservations have come to their end."""
        wanted = len(self.ended) + ENOUGH

        async def are_there() -> bool:
            return len(self.ended) >= wanted

        await eventually(are_there, limit_s=40)

    def stop(self) -> None:
        """Let each finish what it has begun."""
        self._stopping = True


@asynccontextmanager
async def calling(service: Service) -> AsyncIterator[Callers]:
    """Call while the context lasts; fail when a call was not answered as it should have been."""
    callers = Callers(service)
    async with asyncio.TaskGroup() as group:
        for _ in range(CALLERS):
            group.create_task(callers.call())
        yield callers
        callers.stop()


async def test_the_last_release_works_on_this_schema_and_hands_over(own_service: Service, last_release: Path) -> None:
    assert len(migrations_in(last_release / "reservations" / "migrations")) < latest_version()
    new, settings = own_service.program, {**QUICK, **PATIENT, **own_service.environment}
    # Without -P the current folder's code would come first.
    own_service.program = (sys.executable, "-P", *new[1:])
    own_service.environment = {**settings, "PYTHONPATH": str(last_release)}
    old_worker, old_gateway = own_service.launch("worker"), own_service.launch("gateway")
    await asyncio.gather(own_service.ready(old_worker), own_service.ready(old_gateway))
    own_service.program, own_service.environment = new, settings
    async with calling(own_service) as callers:
        await callers.more()
        await own_service.start("worker")
        await callers.more()
        assert await old_worker.stop() == 0
        await callers.more()
        await own_service.start("gateway")
        await callers.more()
    assert await old_gateway.stop() == 0
    async with connected(own_service) as connection:
        await all_is_there_once(own_service, connection, callers.ended)


async def all_is_there_once(service: Service, connection: Connection, ended: list[str]) -> None:
    """Compare what is kept and what was told with what was answered."""
    kept = await connection.fetch("SELECT reservation_id::text, status, _rev FROM reservations.reservations")
    assert sorted(tuple(row) for row in kept) == sorted((each, "cancelled", 3) for each in ended)
    history = await connection.fetch("SELECT history_id::text FROM reservations.status_history")
    assert len(history) == 3 * len(ended)
    told = [
        orjson.loads(record.value)["event_id"]
        for topic in (CREATED, STATUS_CHANGED)
        for record in await service.read(topic.name)
    ]
    assert set(told) == {row["history_id"] for row in history}
