"""The embedded stack, run for real: as root and as a normal user, killed, restarted, and stopped."""

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from reservations.app.stack import installations, leftovers, postgres
from reservations.app.stack.home import Home, is_free
from reservations.app.stack.programs import StackError, User
from tests.servers import apart, running
from tests.stack_run import COMMANDS, STARTED, StackRun, alive, descendants, eventually, stack_run

NOTHING = ["-c", ""]
ROOT = os.geteuid() == 0
NOBODY = User.by_uid(65534)
AS_NOBODY = pytest.param(
    NOBODY, id="as a normal user", marks=pytest.mark.skipif(not ROOT, reason="only root can become another user")
)
needs_root = pytest.mark.skipif(not ROOT, reason="only root has to become another user")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Give a folder that every user may enter and write to, as /tmp is."""
    path = Path(tempfile.mkdtemp(prefix="stack-", dir="/tmp"))
    path.chmod(0o777)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def run(folder: Path) -> Iterator[StackRun]:
    """Give a running stack."""
    with stack_run(folder / "shared", commands()) as run:
        run.wait_for(STARTED)
        yield run


@pytest.fixture(scope="module")
def named(run: StackRun) -> dict[str, str]:
    """Give the addresses of the running stack's servers, as environment variables."""
    return {name: run.sourced(name) for name in ("DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS")}


def commands(**changed: list[str]) -> str:
    """Return the commands of a stack with some changed."""
    return json.dumps(COMMANDS | changed)


def query(dsn: str, statement: str) -> object:
    """Return the first value that a statement answers."""

    async def ask() -> object:
        connection = await asyncpg.connect(dsn, timeout=2)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return apart(ask())


def answers(dsn: str, statement: str) -> object:
    """Return the first value that a statement answers; None while the server does not."""
    try:
        return query(dsn, statement)
    except (OSError, asyncpg.PostgresError):
        return None


def topics(address: str) -> list[str]:
    """Return the topics of a broker."""

    async def ask() -> list[str]:
        client = AIOKafkaAdminClient(bootstrap_servers=address)
        await client.start()
        try:
            return list(await client.list_topics())
        finally:
            await client.close()

    return apart(ask())


@pytest.mark.parametrize("user", [pytest.param(None, id="as ourselves"), AS_NOBODY])
def test_everything_runs_stops_and_finds_its_data_again(folder: Path, user: User | None) -> None:
    home = folder / f"home-{user.name if user else 'own'}"
    with stack_run(home, commands(), user=user) as first:
        first.wait_for(STARTED)
        dsn, brokers = first.sourced("DATABASE_URL"), first.sourced("KAFKA_BOOTSTRAP_SERVERS")
        query(dsn, "CREATE TABLE kept AS SELECT 42 AS number")
        assert topics(brokers) == ["made"]
        assert stat.S_IMODE((home / "env").stat().st_mode) == 0o600
        assert home in first.data().parents
        started = descendants(first.process.pid)
        status, took_s = first.stop()
        assert (status, alive(started)) == (0, [])
        assert took_s < 10
        assert len(started) >= 4
    from_a_shell_that_sourced_env = {"DATABASE_URL": dsn, "KAFKA_BOOTSTRAP_SERVERS": brokers}
    with stack_run(home, commands(), from_a_shell_that_sourced_env, user) as second:
        second.wait_for(STARTED)
        assert (second.sourced("DATABASE_URL"), second.sourced("KAFKA_BOOTSTRAP_SERVERS")) == (dsn, brokers)
        assert query(dsn, "SELECT number FROM kept") == 42
        assert second.interrupt() == 0
        assert re.search(r"gateway \| good bye\n.*worker  \| good bye\n", second.output(), re.DOTALL)
        assert "Traceback" not in second.output()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("timezone", "UTC"),
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("max_locks_per_transaction", "256"),
        ("max_connections", "200"),
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_directories", ""),
        ("server_encoding", "UTF8"),
    ],
)
def test_the_database_is_set_up_for_the_service(run: StackRun, setting: str, value: str) -> None:
    assert query(run.sourced("DATABASE_URL"), f"SHOW {setting}") == value


def test_the_database_asks_for_the_password(run: StackRun) -> None:
    dsn = run.sourced("DATABASE_URL")
    before, _, server = dsn.rpartition("@")
    with pytest.raises(asyncpg.InvalidPasswordError):
        query(f"{before}x@{server}", "SELECT 1")


def test_what_is_shown_holds_no_password(run: StackRun) -> None:
    password = run.sourced("DATABASE_URL").split(":")[2].split("@")[0]
    assert password not in run.output()
    assert f"http://127.0.0.1:{run.port}/reservations" in run.output()


def test_a_program_that_dies_is_started_again(run: StackRun) -> None:
    before = eventually(lambda: run.pid_of("gateway"))
    os.kill(before, signal.SIGKILL)
    assert eventually(lambda: run.pid_of("gateway") not in {0, before})


def test_data_survive_a_killed_postmaster(run: StackRun) -> None:
    dsn, before = run.sourced("DATABASE_URL"), run.postmaster()
    query(dsn, "CREATE TABLE survivor AS SELECT 7 AS number")
    os.kill(before, signal.SIGKILL)
    eventually(lambda: not alive([before]))
    assert eventually(lambda: answers(dsn, "SELECT number FROM survivor")) == 7
    assert run.postmaster() != before


def test_a_broker_that_dies_comes_back_with_its_topics_and_fresh_clients(run: StackRun) -> None:
    worker, gateway = (eventually(partial(run.pid_of, name)) for name in ("worker", "gateway"))
    (before,) = [pid for pid in descendants(run.process.pid) if "tansu" in command_of(pid)]
    os.kill(before, signal.SIGKILL)
    eventually(lambda: run.pid_of("worker") not in {0, worker} and run.pid_of("gateway") not in {0, gateway})
    assert topics(run.sourced("KAFKA_BOOTSTRAP_SERVERS")) == ["made"]


def command_of(pid: int) -> str:
    """Return the command line of a process."""
    return subprocess.run(
        ["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout


def test_a_second_stack_on_the_same_folder_is_refused(run: StackRun) -> None:
    with stack_run(run.home, commands()) as second:
        assert second.ends() == 1
        assert f"already runs (process {run.process.pid})" in second.output()
    assert run.pid_of("worker")


def test_nothing_outlives_a_killed_supervisor_and_the_next_one_finds_the_data(folder: Path) -> None:
    home = folder / "killed"
    with stack_run(home, commands()) as first:
        first.wait_for(STARTED)
        query(first.sourced("DATABASE_URL"), "CREATE TABLE kept AS SELECT 42 AS number")
        started = descendants(first.process.pid)
        first.process.kill()
        first.ends()
        eventually(lambda: not alive(started))
    with stack_run(home, commands()) as second:
        second.wait_for(STARTED)
        assert query(second.sourced("DATABASE_URL"), "SELECT number FROM kept") == 42


def test_a_program_that_ignores_the_stop_signal_does_not_hold_up_the_end(folder: Path, named: dict[str, str]) -> None:
    stubborn = named | {"STUBBORN": "RESERVATIONS_HTTP_PORT"}
    with stack_run(folder / "stubborn", commands(topics=NOTHING), stubborn) as run:
        run.wait_for(STARTED)
        started = descendants(run.process.pid)
        status, took_s = run.stop()
        assert (status, alive(started)) == (0, [])
        assert "worker  | good bye" in run.output()
        assert took_s < 10


def test_a_signal_during_the_start_ends_it_cleanly(folder: Path) -> None:
    with stack_run(folder / "early", commands(migrate=["-c", "import time; time.sleep(60)"])) as run:
        run.wait_for("Database schema")
        started = eventually(lambda: [p for p in descendants(run.process.pid) if "sleep" in command_of(p)])
        started += descendants(run.process.pid)
        status, took_s = run.stop()
        assert (status, alive(started)) == (0, [])
        assert took_s < 5


def test_a_failed_migration_is_told_and_ends_everything(folder: Path) -> None:
    with stack_run(folder / "unmigrated", commands(migrate=["-c", "exit('no such column')"])) as run:
        assert run.ends() == 1
        assert "migrate failed (exit status 1):\n  no such column" in run.output()


def test_a_program_that_can_not_start_is_told_with_its_last_lines(folder: Path, named: dict[str, str]) -> None:
    with stack_run(
        folder / "unstartable", commands(topics=NOTHING, worker=["-c", "exit('no such module')"]), named
    ) as run:
        assert run.ends() == 1
        assert "worker ended 3 times while it was starting" in run.output()
        assert run.output().rstrip().endswith("no such module")


def test_a_taken_port_is_told_before_anything_starts(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with stack_run(folder / "taken", commands(), {"RESERVATIONS_HTTP_PORT": str(taken)}) as run:
            assert run.ends() == 1
            assert f"Port {taken} on 127.0.0.1 is in use" in run.output()
            assert not (run.home / "postgres").exists()


def test_servers_that_are_named_are_used_instead_of_embedded_ones(named: dict[str, str], folder: Path) -> None:
    with stack_run(folder / "named", commands(topics=NOTHING), named) as other:
        other.wait_for(STARTED)
        assert not (other.home / "postgres").exists()
        assert len(descendants(other.process.pid)) == 2
        assert {name: other.sourced(name) for name in named} == named


@needs_root
def test_data_go_elsewhere_when_the_server_can_not_enter_the_state_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    made = apart(postgres.prepare(Home(tmp_path / "home"), durable=False))
    try:
        assert made.data.is_relative_to(postgres.ELSEWHERE)
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
        with running(made.program, made.is_ready):
            assert query(made.dsn, "SELECT current_user") == "reservations"
    finally:
        shutil.rmtree(made.data.parent)


def test_the_programs_of_the_package_work_where_the_machine_has_none(folder: Path) -> None:
    wheel = installations.from_wheel()
    assert wheel
    place = folder / "wheel"
    copy = installations.copy_within_reach(wheel, Home.make(place))
    server = apart(postgres.prepare(Home(place), [copy], durable=False))
    with running(server.program, server.is_ready):
        assert query(server.dsn, "SHOW server_version") == wheel.version
        assert server.installation.major == 18


def test_a_data_folder_is_only_given_to_the_version_that_made_it(tmp_path: Path) -> None:
    found = [
        installations.Installation(Path("/new"), "18.1", "new"),
        installations.Installation(Path("/old"), "16.2", "old"),
    ]
    assert installations.choose(found, tmp_path).version == "18.1"
    (tmp_path / "PG_VERSION").write_text("16\n")
    assert installations.choose(found, tmp_path).version == "16.2"
    (tmp_path / "PG_VERSION").write_text("15\n")
    with pytest.raises(StackError, match=r"made by PostgreSQL 15, which is not here .*18\.1.*16\.2"):
        installations.choose(found, tmp_path)


def test_a_named_folder_without_postgres_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"RESERVATIONS_POSTGRES_BIN=.* does not hold"):
        installations.installations({"RESERVATIONS_POSTGRES_BIN": str(tmp_path)})


def test_a_server_of_an_earlier_run_is_stopped_and_a_lost_password_replaced(folder: Path) -> None:
    home = Home(folder / "leftover")
    first = apart(postgres.prepare(home, durable=False))
    with running(first.program, first.is_ready):
        before = leftovers.processes(first.data)
        (home.path / "postgres-password").unlink()
        second = apart(postgres.prepare(home, durable=False))
        assert second.took_over
        assert alive(before) == []
    with running(second.program, second.is_ready):
        assert query(second.dsn, "SELECT 1") == 1
        assert second.dsn != first.dsn


def test_a_stale_pid_file_that_names_a_stranger_does_not_block_the_start(folder: Path) -> None:
    home = Home(folder / "stale")
    first = apart(postgres.prepare(home, durable=False))
    user = first.program.user
    with subprocess.Popen(["sleep", "60"], user=user.uid if user else None) as stranger:
        (first.data / "postmaster.pid").write_text(f"{stranger.pid}\n{first.data}\n1\n5432\n\n127.0.0.1\n")
        try:
            again = apart(postgres.prepare(home, durable=False))
            assert not again.took_over
            with running(again.program, again.is_ready):
                assert query(again.dsn, "SELECT 1") == 1
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_a_port_is_kept_while_it_is_free(tmp_path: Path) -> None:
    home = Home(tmp_path)
    port = home.port("server")
    assert home.port("server") == port
    with socket.create_server(("127.0.0.1", port)):
        assert not is_free("127.0.0.1", port)
        assert home.port("server") != port
