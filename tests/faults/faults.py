"""The faults: each befalls a running deployment, and is healed. One that found nothing to hurt has not landed."""

import asyncio
import os
import re
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from time import time
from typing import Protocol

import asyncpg

from tests.conditions import eventually
from tests.databases import execute
from tests.faults.chance import Chance
from tests.faults.deployment import Deployment, faketime
from tests.faults.failpoints import FAILPOINTS, SLOW
from tests.faults.ground import KafkaServer, PostgresServer
from tests.faults.load import Load
from tests.faults.processes import Kept
from tests.proxy import Proxy, Snip, Way

LANDING_LIMIT_S = 30
LATENCY_S = 0.2


class NotLandedError(Exception):
    """The fault found nothing to hurt; the round says nothing."""


@dataclass
class Scene:
    """Where a fault strikes. `healed_at` is when the last hurt was over, in seconds since 1970."""

    deployment: Deployment
    load: Load
    chance: Chance
    healed_at: float = field(default=0.0)

    def heal(self) -> None:
        """Note that the hurt is over: what remains is to recover."""
        self.healed_at = time()

    def worker(self) -> Kept:
        """Return one of the workers."""
        return self.chance.choice(self.deployment.workers)

    async def lasting(self, least_s: float, most_s: float) -> None:
        """Let the hurt last."""
        await asyncio.sleep(self.chance.uniform(least_s, most_s))


Strike = Callable[[Scene], Awaitable[None]]


class CrashingServer(Protocol):
    """A server as faults see it."""

    def send(self, number: signal.Signals) -> None:
        """Send a signal to every process of the server."""

    async def crash(self) -> None:
        """Kill every process of the server."""

    async def start_again(self) -> None:
        """Start the server after a crash; return when it answers."""


@dataclass(frozen=True)
class Fault:
    """A fault by name, whom it hurts, and whether this machine can have it."""

    name: str
    hurts: str
    strike: Strike
    is_possible: Callable[[Deployment], bool] = lambda _: True


async def kill_worker(scene: Scene) -> None:
    """Kill a worker; its supervisor starts it again."""
    await scene.worker().kill()
    scene.heal()


def die_at(failpoint: str) -> Strike:
    """Return a fault: a worker dies at a failpoint."""

    async def strike(scene: Scene) -> None:
        workers = scene.deployment.workers
        ends = {worker.name: len(worker.ends) for worker in workers}
        scene.deployment.switches.path(failpoint).touch()

        async def died() -> bool:
            return any(worker.ends[ends[worker.name] :] == [-signal.SIGKILL] for worker in workers)

        await landed(died)
        scene.heal()

    return strike


async def landed(look: Callable[[], Awaitable[bool]]) -> None:
    """Wait until a fault has hurt."""
    try:
        await eventually(look, limit_s=LANDING_LIMIT_S)
    except AssertionError:
        raise NotLandedError from None


async def kill_gateway(scene: Scene) -> None:
    """Kill the gateway; its supervisor starts it again."""
    assert scene.deployment.gateway
    await scene.deployment.gateway.kill()
    scene.heal()


def crash(server_of: Callable[[Deployment], CrashingServer]) -> Strike:
    """Return a fault: every process of a server is killed, and it is started again a little later."""

    async def strike(scene: Scene) -> None:
        server = server_of(scene.deployment)
        await server.crash()
        await scene.lasting(0.2, 3)
        scene.heal()
        await server.start_again()

    return strike


def freeze(server_of: Callable[[Deployment], CrashingServer]) -> Strike:
    """Return a fault: a server stands still."""

    async def strike(scene: Scene) -> None:
        server = server_of(scene.deployment)
        server.send(signal.SIGSTOP)
        await scene.lasting(2, 9)
        server.send(signal.SIGCONT)

    return strike


def freeze_worker(least_s: float, most_s: float) -> Strike:
    """Return a fault: a worker stands still, and wakes when others may have its partitions."""

    async def strike(scene: Scene) -> None:
        worker = scene.worker()
        scene.load.is_light = least_s > LANDING_LIMIT_S
        worker.send(signal.SIGSTOP)
        await scene.lasting(least_s, most_s)
        worker.send(signal.SIGCONT)
        scene.load.is_light = False
        scene.heal()

    return strike


async def terminate_backends(scene: Scene) -> None:
    """Let the database server end the service's connections, again and again."""
    query = """SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE application_name LIKE 'svc-reservations%' AND datname = current_database()"""
    connection = await asyncpg.connect(scene.deployment.direct_database)
    ended = 0
    try:
        for _ in range(6):
            ended += await connection.fetchval(query)
            await scene.lasting(0.1, 0.5)
    finally:
        await connection.close()
    if not ended:
        raise NotLandedError


async def reset_in_commit(scene: Scene) -> None:
    """Reset connections in the middle of COMMIT: right before the server gets it, or right after."""
    proxy, snips = scene.deployment.ground.postgres.proxy, scene.chance.randint(3, 6)
    before = proxy.resets

    def scissors(chunk: bytes) -> Snip | None:
        if b"COMMIT" not in chunk or proxy.resets >= before + snips or scene.chance.hits(0.5):
            return None
        return scene.chance.choice([Snip.BEFORE, Snip.AFTER])

    proxy.scissors = scissors

    async def all_done() -> bool:
        return proxy.resets >= before + snips

    await landed(all_done)


def through(
    server_of: Callable[[Deployment], PostgresServer | KafkaServer], hurt: Callable[[Scene, Proxy], Awaitable[None]]
) -> Strike:
    """Return a fault of the network between the service and a server."""

    async def strike(scene: Scene) -> None:
        proxy = server_of(scene.deployment).proxy
        await hurt(scene, proxy)
        await scene.lasting(2, 8)
        await proxy.restore()

    return strike


async def cut_one_way(scene: Scene, proxy: Proxy) -> None:
    """Let nothing through in one direction."""
    proxy.stall(scene.chance.choice(list(Way)))


async def drop(_: Scene, proxy: Proxy) -> None:
    """Reset every connection and refuse new ones."""
    await proxy.cut()


async def reset(scene: Scene, proxy: Proxy) -> None:
    """Reset every connection, again and again; new ones are accepted."""
    for _ in range(5):
        proxy.reset()
        await scene.lasting(0.1, 0.6)


async def delay(_: Scene, proxy: Proxy) -> None:
    """Let everything take longer."""
    proxy.latency_s = LATENCY_S


def postgres(deployment: Deployment) -> PostgresServer:
    """Return the database server."""
    return deployment.ground.postgres


def broker(deployment: Deployment) -> KafkaServer:
    """Return the broker."""
    return deployment.ground.kafka


async def rebalance_storm(scene: Scene) -> None:
    """Let workers join the group and leave it, by their own will or not."""
    for _ in range(3):
        guest = scene.deployment.new_worker()
        await guest.start()
        if scene.chance.hits(0.5):
            await guest.stop()
        else:
            guest.pause()
            await guest.kill()
        scene.deployment.workers.remove(guest)


async def rolling_restart(scene: Scene) -> None:
    """Restart every process, one after the other."""
    gateway = scene.deployment.gateway
    assert gateway
    for process in (*scene.deployment.workers, gateway):
        await process.restart()
        assert process.ends[-1] == 0, f"{process.name} ended with {process.ends[-1]} when it was told to stop"


async def fill_disk(scene: Scene) -> None:
    """Let the database server's disk be full for a while."""
    server = scene.deployment.ground.postgres
    complaints = count_of("No space left on device", server)
    with server.ballast().open("wb") as ballast:
        free = os.statvfs(ballast.fileno())
        os.posix_fallocate(ballast.fileno(), 0, free.f_bavail * free.f_frsize)
        # What is left belongs to root, not to the server; not even the log's next segment fits.
        with suppress(asyncpg.PostgresError, OSError):
            await execute(server.direct, "SELECT pg_switch_wal()")

        async def complains() -> bool:
            return count_of("No space left on device", server) > complaints

        try:
            await landed(complains)
            await scene.lasting(1, 4)
        finally:
            server.ballast().unlink()


def count_of(text: str, server: PostgresServer) -> int:
    """Return how often a text stands in the database server's log."""
    return len(re.findall(text, server.kept.program.output.read_text(errors="replace")))


def shift_clock(offset: str) -> Strike:
    """Return a fault: the clock of a worker is off, for the rest of the round."""

    async def strike(scene: Scene) -> None:
        library = faketime()
        assert library
        old = scene.worker()
        await old.stop()
        scene.deployment.workers.remove(old)
        shifted = {"LD_PRELOAD": library, "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        await scene.deployment.new_worker(**shifted).start()

    return strike


async def slow_handler(scene: Scene) -> None:
    """Let every batch take seconds."""
    switch = scene.deployment.switches.path(SLOW)
    switch.touch()
    await scene.lasting(4, 8)
    switch.unlink()


async def reset_offsets(scene: Scene) -> None:
    """Let the workers read the whole log again."""
    workers = scene.deployment.workers
    await asyncio.gather(*(worker.stop() for worker in workers))
    await scene.deployment.read_from_the_start()
    scene.heal()
    await asyncio.gather(*(worker.start() for worker in workers))


async def redrive(scene: Scene) -> None:
    """Put every dead letter back on its topic, twice."""

    async def there_are_some() -> bool:
        return bool((await scene.deployment.cli("dead-letters", "list", "--json")).strip())

    await landed(there_are_some)
    for _ in range(2):
        await scene.deployment.cli("dead-letters", "redrive", "--all")


async def two_at_once(scene: Scene) -> None:
    """Let two faults strike at the same time, on different parties."""
    possible = [fault for fault in SINGLE.values() if fault.is_possible(scene.deployment) and fault.hurts != "all"]
    first = scene.chance.choice(possible)
    second = scene.chance.choice([fault for fault in possible if fault.hurts != first.hurts])
    scene.load.journal.note("both", first=first.name, second=second.name)
    await asyncio.gather(first.strike(scene), second.strike(scene))
    scene.heal()


def _has_faketime(_: Deployment) -> bool:
    return faketime() is not None


def _has_disk(deployment: Deployment) -> bool:
    return deployment.ground.postgres.has_own_disk


SINGLE: Mapping[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault("kill-worker", "worker", kill_worker),
        *(Fault(f"die-{name}", "worker", die_at(name)) for name in FAILPOINTS),
        Fault("kill-gateway", "gateway", kill_gateway),
        Fault("kill-postgres", "postgres", crash(postgres)),
        Fault("kill-broker", "broker", crash(broker)),
        Fault("freeze-worker-5s", "worker", freeze_worker(5, 5)),
        Fault("freeze-worker-70s", "all", freeze_worker(70, 70)),
        Fault("freeze-postgres", "postgres", freeze(postgres)),
        Fault("freeze-broker", "broker", freeze(broker)),
        Fault("terminate-backends", "postgres", terminate_backends),
        Fault("reset-in-commit", "postgres", reset_in_commit),
        Fault("cut-postgres-one-way", "postgres", through(postgres, cut_one_way)),
        Fault("cut-broker-one-way", "broker", through(broker, cut_one_way)),
        Fault("drop-postgres", "postgres", through(postgres, drop)),
        Fault("drop-broker", "broker", through(broker, drop)),
        Fault("reset-postgres", "postgres", through(postgres, reset)),
        Fault("reset-broker", "broker", through(broker, reset)),
        Fault("delay-postgres-200ms", "postgres", through(postgres, delay)),
        Fault("delay-broker-200ms", "broker", through(broker, delay)),
        Fault("rebalance-storm", "all", rebalance_storm),
        Fault("rolling-restart", "all", rolling_restart),
        Fault("disk-full", "postgres", fill_disk, _has_disk),
        Fault("clock-1h-ahead", "all", shift_clock("+1h"), _has_faketime),
        Fault("clock-1h-behind", "all", shift_clock("-1h"), _has_faketime),
        Fault("slow-handler", "worker", slow_handler),
        Fault("reset-offsets", "all", reset_offsets),
        Fault("redrive", "all", redrive),
    )
}
#: The deaths at the failpoints.
FAILPOINT_FAULTS = tuple(f"die-{name}" for name in FAILPOINTS)
FAULTS: Mapping[str, Fault] = {**SINGLE, "two-at-once": Fault("two-at-once", "all", two_at_once)}
