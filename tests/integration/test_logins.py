"""Three logins, made as the document says: each process does its part with its own, and no more."""

import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from reservations.migrations.runner import migrate
from reservations.models.topics import DEAD_LETTERS, PAYMENT_PROCESSED
from tests.bookings import a_booking, a_held_creation, a_payment, book, pay, perform, send_commands
from tests.conditions import eventually
from tests.conftest import prefix, quirks
from tests.databases import Connection, beside, execute
from tests.own_service import QUICK, until_waiting
from tests.servers import Servers
from tests.service import Service, a_service, run

PARTS = ("owner", "worker", "gateway")
DOCUMENT = Path(__file__).parents[2] / "docs" / "security-postgres.md"
TABLES = ("reservations", "participants", "status_history", "inbox", "trip_slots", "guest_days")
COUNT = "SELECT count(*) FROM reservations.{}"
FORBIDDEN_TO_WRITERS = (
    "CREATE TABLE reservations.extra ()",
    "CREATE SCHEMA extra",
    "CREATE FUNCTION reservations.extra() RETURNS integer RETURN 1",
    "ALTER TABLE reservations.reservations ADD COLUMN extra integer",
    "ALTER FUNCTION reservations.ensure_month OWNER TO CURRENT_USER",
    "DROP TABLE reservations.inbox",
    "DROP SCHEMA reservations CASCADE",
    "TRUNCATE reservations.inbox",
    "DELETE FROM reservations.reservations",
    "DELETE FROM reservations.participants",
    "DELETE FROM reservations.status_history",
    "UPDATE reservations.status_history SET reason = 'rewritten'",
    "UPDATE reservations.audit_log SET actor = 'another'",
    "DELETE FROM reservations.audit_log",
    "GRANT reservations_owner TO bookings_worker",
    "SET ROLE reservations_owner",
)
FORBIDDEN_TO_READERS = (
    *FORBIDDEN_TO_WRITERS,
    "SET ROLE reservations_writer",
    "TABLE reservations.audit_log",
    "SELECT reservations.ensure_month('2031-01-01')",
    *(f"INSERT INTO reservations.{table} DEFAULT VALUES" for table in TABLES),
    "UPDATE reservations.reservations SET party_size = 1",
    "UPDATE reservations.inbox SET outcome = NULL",
    "DELETE FROM reservations.guest_days",
)


@dataclass(frozen=True)
class Logins:
    """The addresses of a database, by who logs in."""

    administrator: str
    owner: str
    worker: str
    gateway: str


def statements() -> list[list[str]]:
    """Return the statements of each block of SQL in the document."""
    blocks = re.findall(r"^```sql\n(.*?)^```$", DOCUMENT.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [[each.strip() for each in block.split(";") if each.strip()] for block in blocks]


@pytest.fixture
async def logins(own_cluster: str) -> Logins:
    """Give the logins of the document, on a migrated database of a server of the test's own."""
    before, after = statements()
    await run_all(own_cluster, before)
    named = {name: beside(own_cluster, "bookings", f"bookings_{name}:change-me-{name}") for name in PARTS}
    await migrate(named["owner"])
    await run_all(own_cluster, after)
    return Logins(beside(own_cluster, "bookings"), **named)


async def run_all(address: str, block: Sequence[str]) -> None:
    """Run statements one by one."""
    for statement in block:
        await execute(address, statement)


@asynccontextmanager
async def logged_in(address: str, role: str | None = None) -> AsyncIterator[Connection]:
    """Give a connection of a login, in a role if one is named."""
    connection = await asyncpg.connect(address, server_settings={"role": role} if role else None)
    yield connection
    await connection.close()


async def allowed(connection: Connection, statements: Sequence[str]) -> list[str]:
    """Return the statements that are not refused for lack of a right."""
    found = []
    for statement in statements:
        try:
            async with connection.transaction():
                await connection.execute(statement)
        except asyncpg.InsufficientPrivilegeError:
            continue
        except asyncpg.PostgresError as error:
            found.append(f"{statement}: {error}")
        else:
            found.append(statement)
    return found


async def test_a_worker_does_its_whole_work_and_a_gateway_reads_it(
    logins: Logins, servers: Servers, tmp_path: Path
) -> None:
    settings = {**QUICK, "CLOCK_INTERVAL_S": "0.3", "HOLD_HOURS": str(2 / 3600), "PARKED_PAYMENT_DAYS": str(4 / 86400)}
    kafka = servers.kafka_bootstrap_servers
    async with a_service(logins.worker, kafka, prefix(), tmp_path, {**settings, **quirks(servers)}) as service:
        await service.start("worker")
        service.database_url = logins.gateway
        await service.start("gateway")
        service.database_url = logins.administrator
        await a_life(service)
        await everything_is_read(service)
        lines = [line for process in service.processes for line in process.lines()]
        assert [line for line in lines if line["level"] == "error"] == []
    async with logged_in(logins.administrator) as connection:
        rows = {table: await connection.fetchval(COUNT.format(table)) for table in TABLES}
    assert all(rows.values()), rows


async def a_life(service: Service) -> None:
    """Let a worker do all that workers do: commands of each type, payments early and late, what becomes due."""
    made = await book(service, participants=[{"guest_id": a_booking()["guest_id"]}], party_size=2)
    path = f"/reservations/{made['id']}"
    for method, address, body in (
        ("PATCH", path, {"party_size": 3, "trip_date": "2027-07-01", "_rev": 1}),
        ("POST", f"{path}/participants", {"guest_id": a_booking()["guest_id"]}),
        ("PUT", f"{path}/status", {"target_status": "CHECKED_IN", "_rev": 3}),
    ):
        assert (await service.ask(method, address, json=body))[0] in (200, 201)
    assert (await service.ask("DELETE", f"{path}?reason=WEATHER"))[0] == 200
    early = a_held_creation()
    payment = a_payment(early["reservation_id"], 400.0)
    await send_commands(service, payment, topic=PAYMENT_PROCESSED.name)
    await until_waiting(service, 1, early["reservation_id"])
    assert [each["outcome"] for each in await perform(service, early)] == ["applied"]
    assert [each["replayed"] for each in await pay(service, payment)] == [True]
    unpaid, unclaimed = await book(service, awaiting_payment=True), a_payment(a_held_creation()["reservation_id"], 5.0)
    await send_commands(service, unclaimed, topic=PAYMENT_PROCESSED.name)

    async def came_due() -> bool:
        _, shown, _ = await service.ask("GET", f"/reservations/{unpaid['id']}")
        letters = [json.loads(each.value or b"{}") for each in await service.read(DEAD_LETTERS.name)]
        return shown["status"] == "CANCELLED" and unclaimed["event_id"] in [each.get("event_id") for each in letters]

    await eventually(came_due)


async def everything_is_read(service: Service) -> None:
    """Ask for everything that a gateway reads."""
    _, found, _ = await service.ask("GET", "/reservations?party_size=3")
    (made,) = found["content"]
    for address in (
        f"/reservations/{made['id']}",
        f"/reservations/{made['id']}?include=status_history",
        f"/reservations/{made['id']}?include=payments",
        f"/reservations/{made['id']}/participants",
        f"/reservations?guest_id={made['guest_id']}",
        f"/reservations?trip_id={made['trip_id']}&start_date=2027-06-01&end_date=2027-08-01",
        "/reservations?status=CANCELLED&cursor=",
        "/health/ready",
    ):
        status, body, _ = await service.ask("GET", address)
        assert status == 200, (address, body)
    _, history, _ = await service.ask("GET", f"/reservations/{made['id']}?include=status_history")
    command_id = history["status_history"][0]["command_id"]
    assert (await service.ask("GET", f"/commands/{command_id}"))[0] == 200


async def test_the_workers_login_can_spoil_nothing(logins: Logins) -> None:
    for role in (None, "reservations_writer"):
        async with logged_in(logins.worker, role) as connection:
            assert await allowed(connection, FORBIDDEN_TO_WRITERS) == []
            assert await connection.fetchval("SELECT reservations.ensure_month('2031-01-01')") == (role is None)


async def test_the_gateways_login_can_only_read(logins: Logins) -> None:
    for role in (None, "reservations_reader"):
        async with logged_in(logins.gateway, role) as connection:
            assert await allowed(connection, FORBIDDEN_TO_READERS) == []
            for table in TABLES:
                await connection.fetch(f"TABLE reservations.{table}")


async def test_a_login_in_no_role_reads_nothing(logins: Logins) -> None:
    await execute(logins.administrator, "CREATE ROLE stranger LOGIN PASSWORD 'stranger'")
    address = beside(logins.administrator, "bookings", "stranger:stranger")
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied for database"):
        await asyncpg.connect(address)
    await execute(logins.administrator, "GRANT CONNECT ON DATABASE bookings TO stranger")
    async with logged_in(address) as connection:
        reads = [f"TABLE reservations.{table}" for table in (*TABLES, "audit_log", "schema_migrations")]
        roles = [f"SET ROLE reservations_{part}" for part in ("reader", "writer", "owner")]
        assert await allowed(connection, [*reads, *roles]) == []


async def test_the_owners_login_goes_on_migrating_and_forgets_and_no_other_does(logins: Logins) -> None:
    assert await migrate(logins.owner) == []
    guest = a_booking()["guest_id"]
    codes = {part: (await run({"DATABASE_URL": getattr(logins, part)}, "forget-guest", guest))[0] for part in PARTS}
    assert codes == {"owner": 0, "worker": 1, "gateway": 1}


@pytest.mark.parametrize(
    ("part", "command"),
    [
        ("gateway", "slots audit"),
        ("worker", "inbox show 01900000-0000-7000-8000-000000000000"),
        ("worker", "events replay --since 2027-01-01T00:00Z"),
    ],
)
async def test_what_is_for_the_owner_tells_others_so(logins: Logins, part: str, command: str) -> None:
    variables = {"DATABASE_URL": getattr(logins, part), "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    code, output, complaints = await run(variables, *command.split())
    assert (code, output) == (1, "")
    assert complaints.endswith("must be granted reservations_owner, in a database that is migrated.\n")
    assert "Traceback" not in complaints
