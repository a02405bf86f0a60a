"""The way to the database: TLS that verifies who answers, and a warning or a refusal without it."""

import asyncio
import json
import os
import shutil
import ssl
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import asyncpg
import pytest

from reservations.migrations.runner import migrate
from reservations.tables.database import READER, PoolLimits, pool_of
from tests.certificates import Authority
from tests.conditions import eventually
from tests.databases import beside
from tests.service import run

ELSEWHERE = "postgresql://me:secret@db.invalid/bookings"
LIMITS = PoolLimits("test", 1, 1, 60, 5)
HBA = """
hostssl all clerk 127.0.0.1/32 cert
hostssl all all 127.0.0.1/32 scram-sha-256
"""
VERSION = "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


@dataclass(frozen=True)
class Guarded:
    """A server that takes nothing but TLS; its certificate is for localhost."""

    address: str
    authority: Authority

    def at(self, host: str = "localhost", user: str | None = None, **parameters: Any) -> str:
        """Return the address under a host's name, with parameters."""
        address = self.address if user is None else beside(self.address, urlsplit(self.address).path[1:], user)
        parts = urlsplit(address)
        login = parts.netloc.rpartition("@")[0]
        return urlunsplit(parts._replace(netloc=f"{login}@{host}:{parts.port}", query=urlencode(parameters)))


@pytest.fixture
async def guarded(own_cluster: str, tmp_path: Path) -> Guarded:
    """Give a server of the test's own that takes nothing but TLS."""
    authority = Authority(tmp_path, "ours")
    connection = await asyncpg.connect(own_cluster)
    await connection.execute("CREATE ROLE clerk LOGIN")
    data = Path(await connection.fetchval("SHOW data_directory"))
    for source, name in zip((*authority.sign("localhost"), authority.certificate), FILES.values(), strict=True):
        hand_over(source, data / name)
    await asyncio.to_thread(Path(await connection.fetchval("SHOW hba_file")).write_text, HBA)
    for setting, value in {**FILES, "ssl": "on"}.items():
        await connection.execute(f"ALTER SYSTEM SET {setting} = '{value}'")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.close()
    found = Guarded(own_cluster, authority)
    await until_plain_is_refused(found)
    return found


FILES = {"ssl_cert_file": "server.crt", "ssl_key_file": "server.key", "ssl_ca_file": "ca.crt"}


def hand_over(source: Path, target: Path) -> None:
    """Copy a file to where the server reads it, as its own."""
    shutil.copy(source, target)
    folder = target.parent.stat()
    os.chown(target, folder.st_uid, folder.st_gid)
    target.chmod(0o600)


async def until_plain_is_refused(server: Guarded) -> None:
    """Wait until the server has read its new settings."""

    async def look() -> bool:
        try:
            await (await asyncpg.connect(server.at(sslmode="disable"))).close()
        except asyncpg.InvalidAuthorizationSpecificationError:
            return True
        return False

    await eventually(look)


async def test_the_service_speaks_tls_to_whom_it_can_verify(guarded: Guarded) -> None:
    address = guarded.at(sslmode="verify-full", sslrootcert=guarded.authority.certificate)
    await migrate(address)
    async with pool_of(address, READER, LIMITS) as pool:
        assert await pool.fetchval("SELECT count(*) FROM reservations.reservations") == 0
    connection = await asyncpg.connect(address)
    assert await connection.fetchval(VERSION) == "TLSv1.3"
    await connection.close()


async def test_a_server_of_another_authority_is_refused(guarded: Guarded, tmp_path: Path) -> None:
    other = Authority(tmp_path, "another").certificate
    for mode in ("verify-full", "verify-ca"):
        with pytest.raises(ssl.SSLCertVerificationError, match="verify failed"):
            await asyncpg.connect(guarded.at(sslmode=mode, sslrootcert=other))


async def test_a_server_under_another_name_is_refused_where_names_are_verified(guarded: Guarded) -> None:
    named: dict[str, Any] = {"host": "127.0.0.1", "sslrootcert": guarded.authority.certificate}
    with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
        await asyncpg.connect(guarded.at(sslmode="verify-full", **named))
    await (await asyncpg.connect(guarded.at(sslmode="verify-ca", **named))).close()


async def test_a_client_shows_its_certificate_instead_of_a_password(guarded: Guarded) -> None:
    certificate, key = guarded.authority.sign("clerk")
    verified: dict[str, Any] = {"sslmode": "verify-full", "sslrootcert": guarded.authority.certificate}
    address = guarded.at(user="clerk", sslcert=certificate, sslkey=key, **verified)
    connection = await asyncpg.connect(address)
    assert await connection.fetchval("SELECT current_user") == "clerk"
    await connection.close()
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
        await asyncpg.connect(guarded.at(user="clerk", **verified))


@pytest.mark.parametrize("process", ["worker", "gateway"])
async def test_a_process_warns_of_a_database_elsewhere_without_tls(process: str) -> None:
    variables = {"DATABASE_URL": ELSEWHERE, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "reservations.app.cli", process),
        env=os.environ | variables,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert started.stdout
    try:
        async with asyncio.timeout(30):
            lines = [json.loads(await started.stdout.readline()) for _ in range(2)]
    finally:
        started.kill()
        await started.communicate()
    assert [line["event"] for line in lines] == ["starting", "database_without_tls"]
    assert (lines[1]["level"], lines[1]["hosts"]) == ("warning", ["db.invalid"])
    assert "secret" not in str(lines)


async def test_a_migration_warns_of_a_database_elsewhere_without_tls() -> None:
    code, result, told = await run({"DATABASE_URL": ELSEWHERE}, "migrate")
    assert (code, result) == (1, "")
    assert [json.loads(line)["event"] for line in told.splitlines() if line.startswith("{")] == ["database_without_tls"]


async def test_nothing_warns_where_it_is_verified(guarded: Guarded) -> None:
    address = guarded.at(sslmode="verify-full", sslrootcert=guarded.authority.certificate)
    code, told, _ = await run({"DATABASE_URL": address, "DATABASE_TLS": "required"}, "migrate")
    assert code == 0
    assert told.startswith("Applied: ")


@pytest.mark.parametrize("process", ["worker", "gateway", "migrate"])
async def test_a_process_refuses_a_database_elsewhere_where_tls_is_required(process: str) -> None:
    variables = {"DATABASE_URL": ELSEWHERE, "DATABASE_TLS": "required", "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    code, told, complaint = await run(variables, process)
    assert (code, told) == (1, "")
    assert "DATABASE_TLS: db.invalid would be spoken to without verified TLS: add ?sslmode=verify-full" in complaint
    assert "secret" not in complaint
