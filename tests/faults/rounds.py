"""A round: load, a fault, recovery, quiet, and every promise checked; then the whole log is read again."""

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, time
from typing import TypeVar

import asyncpg
from aiokafka.errors import KafkaError

from tests.conditions import eventually
from tests.databases import Connection
from tests.faults import checker, ledger
from tests.faults.chance import HOT_SEATS, HOT_TRIP, Chance, hot_dates
from tests.faults.checker import Violation
from tests.faults.deployment import Deployment, a_deployment
from tests.faults.faults import Fault, NotLandedError, Scene
from tests.faults.ground import Ground
from tests.faults.journal import Journal
from tests.faults.load import Load

IMPOSSIBLE = "not possible on this machine"
FEWEST_SUCCESSES = 1000
CALM_COMMANDS = 120
ENOUGH_COMMANDS = 1350
LOAD_LIMIT_S = 90
RECOVERY_LIMIT_S = 60
T = TypeVar("T")

DATABASE_AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)
REPLAY_GROUP = "replay"
SAMPLE_PAUSE_S = 1.0


@dataclass(frozen=True)
class Plan:
    """What a round is to be: its fault, the seed of all chance, where its histories go, the defect to be found."""

    fault: Fault
    seed: str
    folder: Path
    mutant: str = ""


@dataclass
class Report:
    """What a round came to; `void` says why it proves nothing."""

    fault: str
    seed: str
    folder: Path
    hurts: str
    successes: int = 0
    recovery_s: float | None = None
    took_s: float = 0.0
    void: str = ""
    violations: list[Violation] = field(default_factory=list)

    @property
    def has_passed(self) -> bool:
        """Whether it proves something, and everything was as promised."""
        return not self.void and not self.violations


@dataclass
class Round:
    """A round under way."""

    deployment: Deployment
    journal: Journal
    fault: Fault
    report: Report
    seed: str


async def play(ground: Ground, plan: Plan, number: int) -> Report:
    """Play one round; keep its histories if a promise was broken."""
    begun, report = monotonic(), Report(plan.fault.name, plan.seed, plan.folder, plan.fault.hurts)
    shutil.rmtree(plan.folder, ignore_errors=True)
    async with a_deployment(ground, plan.folder, f"round-{number}", plan.mutant) as deployment:
        if plan.fault.is_possible(deployment):
            journal = Journal(plan.folder / "history.jsonl")
            await _play(Round(deployment, journal, plan.fault, report, f"{plan.seed}/{plan.fault.name}"))
            journal.close()
        else:
            report.void = IMPOSSIBLE
    report.took_s = monotonic() - begun
    if not report.violations:
        shutil.rmtree(plan.folder)
    return report


async def _play(this: Round) -> None:
    load = Load(this.deployment, this.journal, this.seed)
    await _open_hot_dates(this.deployment)
    await load.start()
    async with _sampling(this):
        try:
            await _under_load(this, load)
        except NotLandedError:
            this.report.void = "the fault did not land"
        except AssertionError as error:
            this.report.violations.append(Violation("the service did not go on", 1, (str(error),)))
        finally:
            await load.stop()
        await this.deployment.ground.restore()
        await _within(this, _until_quiet(this), "not quiet 60 s after the load ended")
    await _judge(this)


async def _under_load(this: Round, load: Load) -> None:
    scene = Scene(this.deployment, load, Chance(f"{this.seed} fault"))
    await _until_handled(this.deployment, CALM_COMMANDS)
    this.journal.note("fact", name="struck")
    await this.fault.strike(scene)
    if not scene.healed_at:
        scene.heal()
    this.journal.note("fact", name="healed")
    await _within(this, _recover(this.deployment, load), "not recovered 60 s after the fault was healed")
    this.report.recovery_s = time() - scene.healed_at
    this.journal.note("fact", name="recovered")
    await _until_handled(this.deployment, ENOUGH_COMMANDS)


async def _within(this: Round, act: Awaitable[object], promise: str) -> None:
    try:
        await asyncio.wait_for(act, RECOVERY_LIMIT_S)
    except (TimeoutError, AssertionError):
        this.report.violations.append(Violation(promise, 1, (await _backlog(this.deployment),)))


async def _backlog(deployment: Deployment) -> str:
    ends, committed = await deployment.ends(), await deployment.committed()
    behind = {f"{tp.topic}[{tp.partition}]": end - committed[tp] for tp, end in ends.items() if end > committed[tp]}
    return f"behind: {behind}"


async def _recover(deployment: Deployment, load: Load) -> None:
    """Wait until what was there when the fault was healed is done, and a new booking is answered."""
    goal = await _asked_again(deployment.ends)

    async def is_done() -> bool:
        committed = await deployment.committed()
        return all(committed[tp] >= end for tp, end in goal.items())

    async def backlog() -> None:
        await eventually(lambda: _asked_again(is_done), limit_s=RECOVERY_LIMIT_S, every_s=0.2)

    await asyncio.gather(backlog(), load.probe())


async def _asked_again(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask the broker until it answers: it may be starting."""
    while True:
        try:
            return await ask()
        except (KafkaError, OSError, KeyError):
            await asyncio.sleep(0.2)


async def _until_quiet(this: Round) -> None:
    async def is_quiet() -> bool:
        ends, committed = await this.deployment.ends(), await this.deployment.committed()
        return all(committed[tp] >= end for tp, end in ends.items())

    await eventually(lambda: _asked_again(is_quiet), limit_s=RECOVERY_LIMIT_S, every_s=0.2)


async def _until_handled(deployment: Deployment, count: int) -> None:
    """Wait until the inbox holds so many commands."""

    async def look() -> bool:
        try:
            return await _handled(deployment) >= count
        except DATABASE_AWAY:
            return False

    await eventually(look, limit_s=LOAD_LIMIT_S, every_s=0.1)


async def _handled(deployment: Deployment) -> int:
    async with _connected(deployment) as connection:
        return int(await connection.fetchval("SELECT count(*) FROM reservations.inbox"))


@asynccontextmanager
async def _connected(deployment: Deployment) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(deployment.direct_database, timeout=5)
    try:
        yield connection
    finally:
        await connection.close()


async def _open_hot_dates(deployment: Deployment) -> None:
    """Say how many seats the trip dates have that sell out, as the trip catalog would."""
    async with _connected(deployment) as connection:
        await connection.executemany(
            "INSERT INTO reservations.trip_slots (trip_id, trip_date, capacity) VALUES ($1, $2, $3)",
            [(HOT_TRIP, day, HOT_SEATS) for day in hot_dates()],
        )


@asynccontextmanager
async def _sampling(this: Round) -> AsyncIterator[None]:
    """Look every second at what is committed, and then at what is in the inbox."""

    async def sample() -> None:
        while True:
            with suppress(KafkaError, KeyError, *DATABASE_AWAY):  # nothing can be seen
                await _sample(this)
            await asyncio.sleep(SAMPLE_PAUSE_S)

    task = asyncio.create_task(sample())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _sample(this: Round) -> None:
    committed, at, prefix = await this.deployment.committed(), time(), this.deployment.prefix
    places = [(ledger.short(prefix, tp.topic), tp.partition, offset) for tp, offset in committed.items()]
    async with _connected(this.deployment) as connection:
        ids = [str(row[0]) for row in await connection.fetch("SELECT message_id FROM reservations.inbox")]
    this.journal.note("sample", committed=places, inbox=ids, looked_at=at)


async def _judge(this: Round) -> None:
    async with _connected(this.deployment) as connection:
        await ledger.write_journal(connection, this.journal)
        await ledger.write_samples(connection, this.journal)
        await ledger.write_messages(connection, this.deployment)
        found = await checker.violations(connection)
        this.report.successes = await connection.fetchval(
            "SELECT count(*) FROM faults.outcome WHERE outcome = 'applied'"
        )
        await checker.keep(connection)
        await _read_all_again(this)
        await ledger.write_messages(connection, this.deployment)
        found += await checker.changed_since_kept(connection)
        known = {each.promise for each in found}
        found += [each for each in await checker.violations(connection) if each.promise not in known]
    this.report.violations += found
    if not this.report.void and this.report.successes < FEWEST_SUCCESSES:
        this.report.void = f"only {this.report.successes} operations succeeded"


async def _read_all_again(this: Round) -> None:
    """Let a worker of another group read every topic from its start."""
    reader = this.deployment.new_worker(KAFKA_GROUP=REPLAY_GROUP)
    await reader.start()
    goal = await this.deployment.ends()

    async def is_done() -> bool:
        committed = await this.deployment.committed(REPLAY_GROUP)
        return all(committed[tp] >= end for tp, end in goal.items())

    await _within(
        this, eventually(is_done, limit_s=RECOVERY_LIMIT_S, every_s=0.2), "the log was not read again in 60 s"
    )
    await reader.stop(signal.SIGKILL)
    this.deployment.workers.remove(reader)
