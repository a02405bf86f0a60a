"""`reservations partitions`: a month leaves for files and comes back as it was, whatever cuts that short."""

import asyncio
import gzip
import inspect
import json
from collections.abc import AsyncIterator, Awaitable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from typer.testing import CliRunner, Result

from reservations.app.cli import app
from reservations.app.months import files, retiring
from reservations.app.months.files import FilesError
from reservations.app.months.retiring import RefusedError, as_owner, drop, restore, retire
from reservations.app.settings import Settings
from reservations.models.identifiers import kin_of
from reservations.tables import retired_months
from reservations.tables.partitions import ensure_months, months
from tests.databases import Connection
from tests.integration.reservation_rows import insert, reservation_row
from tests.service import Service

OLD, NEXT = date(2024, 3, 1), date(2024, 4, 1)
COUNT = 5


async def book(connection: Connection, month: date, **changes: Any) -> UUID:
    """Put a reservation with a participant and a change of status into a month; return its id."""
    row = reservation_row(datetime(month.year, month.month, 15, tzinfo=UTC), status="completed", **changes)
    await insert(connection, "reservations", row)
    reservation_id: UUID = row["reservation_id"]
    kin = {"reservation_id": reservation_id}
    participant = {"participant_id": kin_of(reservation_id, 0), "guest_id": uuid4(), "created_at": row["created_at"]}
    await insert(connection, "participants", {**kin, **participant})
    change = {"history_id": kin_of(reservation_id, 0), "new_status": "completed", "changed_by": "a\tb\\N\n"}
    await insert(connection, "status_history", {**kin, **change})
    return reservation_id


@pytest.fixture
async def booked(connection: Connection) -> Connection:
    """Give a database with two months of the past, each with reservations at their end."""
    await ensure_months(connection, 1, OLD)
    for month in (OLD, NEXT):
        for _ in range(COUNT):
            await book(connection, month)
    return connection


@pytest.fixture
async def owner(database: str, booked: Connection) -> AsyncIterator[Connection]:
    """Give a connection as the operator's commands have it."""
    async with as_owner(Settings(database_url=database)) as connection:
        yield connection  # type: ignore[misc]


async def everything(connection: Connection) -> list[list[asyncpg.Record]]:
    """Return all rows that can be read."""
    queries = (
        "SELECT * FROM reservations.reservations ORDER BY 1",
        "SELECT * FROM reservations.participants ORDER BY 1",
        "SELECT * FROM reservations.status_history ORDER BY 1",
    )
    return [await connection.fetch(query) for query in queries]


def others_may_read(path: Path) -> bool:
    """Tell whether a file is there for more than who wrote it."""
    return path.stat().st_mode & 0o077 != 0


async def test_a_month_leaves_and_comes_back_as_it_was(owner: Connection, booked: Connection, tmp_path: Path) -> None:
    before = await everything(booked)
    manifest = await retire(owner, OLD, tmp_path)
    assert {table: kept.rows for table, kept in manifest.tables.items()} == dict.fromkeys(manifest.tables, COUNT)
    assert [len(rows) for rows in await everything(booked)] == [COUNT] * 3
    assert OLD not in await months(booked)
    assert not any(
        others_may_read(tmp_path / name)
        for name in ("manifest.json", *(kept.file for kept in manifest.tables.values()))
    )
    assert await drop(owner, OLD, tmp_path)
    assert await booked.fetchval("SELECT to_regclass('reservations.reservations_2024_03')") is None
    await restore(owner, tmp_path)
    assert await everything(booked) == before
    with pytest.raises(asyncpg.UniqueViolationError):
        await book(booked, OLD, confirmation_code=before[0][0]["confirmation_code"])
    with pytest.raises(asyncpg.CheckViolationError):
        await book(booked, OLD, confirmation_code=before[0][-1]["confirmation_code"])
    with pytest.raises(RefusedError, match="is there"):
        await restore(owner, tmp_path)


async def test_a_month_that_was_not_dropped_comes_back_too(
    owner: Connection, booked: Connection, tmp_path: Path
) -> None:
    before = await everything(booked)
    await retire(owner, OLD, tmp_path)
    await restore(owner, tmp_path)
    assert await everything(booked) == before
    await retire(owner, OLD, tmp_path)
    assert OLD not in await months(booked)


@pytest.mark.parametrize(
    ("month", "today", "reason"),
    [
        (OLD, OLD, "current month"),
        (NEXT, OLD, "to come"),
        (NEXT, date(2024, 12, 1), "Retire 2024-03 first"),
        (date(2019, 1, 1), date(2024, 12, 1), "no month"),
        (OLD, date(2024, 4, 14), "trip date that has not passed"),
    ],
)
async def test_a_month_that_is_needed_stays(
    owner: Connection, tmp_path: Path, month: date, today: date, reason: str
) -> None:
    with pytest.raises(RefusedError, match=reason):
        await retire(owner, month, tmp_path, today)
    assert OLD in await months(owner)


async def test_a_month_with_an_open_reservation_or_a_payment_that_waits_stays(
    owner: Connection, booked: Connection, tmp_path: Path
) -> None:
    opened = await booked.fetchval(
        "UPDATE reservations.reservations SET status = 'confirmed' WHERE reservation_id = "
        "(SELECT min(reservation_id::text)::uuid FROM reservations.reservations) RETURNING reservation_id"
    )
    await booked.execute(
        "INSERT INTO reservations.inbox (message_id, kind, reservation_id, fingerprint, parked) "
        "VALUES ($1, 'payment.record', $2, $1, '{}')",
        uuid4(),
        opened,
    )
    with pytest.raises(RefusedError, match=r"1 reservations are not .*; 1 payments wait"):
        await retire(owner, OLD, tmp_path)


class CutOffError(Exception):
    """What stands for the end of the process."""


async def _cut_off_after(step: Awaitable[Any]) -> None:
    await step
    raise CutOffError


STEPS = ["write_table", "verify", "write_manifest", "detach"]


@pytest.mark.parametrize("step", STEPS)
async def test_retiring_that_was_cut_short_changed_nothing_and_can_be_repeated(
    owner: Connection, booked: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    before = await everything(booked)
    place = retired_months if step == "detach" else retiring
    original = getattr(place, step)

    def crash(*arguments: Any) -> Any:
        done = original(*arguments)
        if inspect.isawaitable(done):
            return _cut_off_after(done)
        raise CutOffError

    with monkeypatch.context() as patched:
        patched.setattr(place, step, crash)
        with pytest.raises(CutOffError):
            await retire(owner, OLD, tmp_path)
    assert await everything(booked) == before
    await retire(owner, OLD, tmp_path)
    assert await drop(owner, OLD, tmp_path)
    await restore(owner, tmp_path)
    assert await everything(booked) == before


async def test_restoring_that_was_cut_short_changed_nothing_and_can_be_repeated(
    owner: Connection, booked: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await everything(booked)
    await retire(owner, OLD, tmp_path)
    with monkeypatch.context() as patched:
        original = files.copy_in
        patched.setattr(retiring, "copy_in", lambda *arguments: _cut_off_after(original(*arguments)))
        with pytest.raises(CutOffError):
            await restore(owner, tmp_path)
    assert await retired_months.detached(booked) == [OLD]
    await restore(owner, tmp_path)
    assert await everything(booked) == before


async def test_what_is_read_in_wrongly_does_not_come_back(
    owner: Connection, booked: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await retire(owner, OLD, tmp_path)
    await drop(owner, OLD, tmp_path)

    async def lose_participants(connection: Connection, table: str, *more: Any) -> None:
        if table != "participants":
            await files.copy_in(connection, table, *more)

    with monkeypatch.context() as patched:
        patched.setattr(retiring, "copy_in", lose_participants)
        with pytest.raises(FilesError, match="participants of 2024-03 has 0 rows"):
            await restore(owner, tmp_path)
    assert OLD not in await months(booked)


async def test_who_is_cut_off_after_the_detaching_repeats_and_drops(
    owner: Connection, booked: Connection, tmp_path: Path
) -> None:
    first = await retire(owner, OLD, tmp_path)
    assert await retire(owner, OLD, tmp_path) == first
    with pytest.raises(FilesError):
        await retire(owner, OLD, tmp_path / "elsewhere")
    assert await drop(owner, OLD, tmp_path)
    assert not await drop(owner, OLD, tmp_path)


async def test_files_that_were_changed_bring_nothing_back_and_nothing_is_dropped_for_them(
    owner: Connection, booked: Connection, tmp_path: Path
) -> None:
    await retire(owner, OLD, tmp_path)
    file = tmp_path / "participants.copy.gz"
    held = gzip.decompress(file.read_bytes())
    file.write_bytes(gzip.compress(held[: held.rindex(b"\n", 0, -1) + 1]))
    with pytest.raises(FilesError, match="does not hold what was written"):
        await restore(owner, tmp_path)
    with pytest.raises(FilesError, match="does not hold what was written"):
        await drop(owner, OLD, tmp_path)
    file.write_bytes(gzip.compress(held))
    await restore(owner, tmp_path)


async def test_readers_are_not_in_the_way_for_long(
    database: str, owner: Connection, booked: Connection, tmp_path: Path
) -> None:
    async with booked.transaction():
        await booked.fetch("SELECT count(*) FROM reservations.reservations")
        retiring_it = asyncio.create_task(retire(owner, OLD, tmp_path))
        other = await asyncpg.connect(database)
        async with asyncio.timeout(10):
            while not (tmp_path / "manifest.json").exists():  # noqa: ASYNC110  # nothing tells of a file
                await asyncio.sleep(0.01)
            assert await other.fetchval("SELECT count(*) FROM reservations.reservations") == 2 * COUNT
        await other.close()
        assert not retiring_it.done()
    await retiring_it
    assert OLD not in await months(booked)


async def test_a_reservation_of_a_retired_month_is_not_found_over_rest(service: Service, tmp_path: Path) -> None:
    async with as_owner(Settings(database_url=service.database_url)) as connection:
        await ensure_months(connection, 0, OLD)
        reservation_id = await book(connection, OLD)  # type: ignore[arg-type]
        assert (await service.ask("GET", f"/reservations/{reservation_id}"))[0] == 200
        await retire(connection, OLD, tmp_path)
        status, told, _ = await service.ask("GET", f"/reservations/{reservation_id}")
        assert (status, told["error"]) == (404, "RESERVATION_NOT_FOUND")
        await drop(connection, OLD, tmp_path)


async def invoke(database: str, *command: str) -> Result:
    """Run `reservations partitions …`."""
    runner = CliRunner(env={"DATABASE_URL": database})
    return await asyncio.to_thread(runner.invoke, app, ["partitions", *command])


async def test_the_command_line_lists_makes_retires_and_restores(
    database: str, booked: Connection, tmp_path: Path
) -> None:
    listed = await invoke(database, "list", "--json", "--count")
    assert listed.exit_code == 0, (listed.output, listed.exception)
    first = json.loads(listed.stdout.splitlines()[0])
    assert (first["month"], first["attached"], first["rows"]) == ("2024-03-01", True, COUNT)
    assert first["first_id"] < first["last_id"]
    ensured = await invoke(database, "ensure", "--ahead", "5", "--json")
    assert len(json.loads(ensured.stdout)["made"]) == 2
    retired = await invoke(database, "retire", "2024-03", "--folder", str(tmp_path), "--drop", "--progress")
    assert (retired.exit_code, "dropped" in retired.stdout) == (0, True), retired.output
    assert "tables written: 3 of 3" in retired.stderr
    refused = await invoke(database, "retire", "2024-03", "--folder", str(tmp_path))
    assert (refused.exit_code, "no month 2024-03" in refused.stderr) == (1, True)
    restored = await invoke(database, "restore", str(tmp_path / "2024-03" / "manifest.json"), "--json")
    assert (restored.exit_code, json.loads(restored.stdout)["month"]) == (0, "2024-03-01")
    assert (await invoke(database, "retire", "march")).exit_code == 2
