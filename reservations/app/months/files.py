"""The files of a retired month: a compressed one for each table, and a manifest, which is written last."""

import gzip
import hashlib
import os
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from reservations.tables import retired_months
from reservations.tables.retired_months import KEYS

if TYPE_CHECKING:
    from reservations.tables.database import AnyConnection

MANIFEST = "manifest.json"
CHUNK_BYTES = 256 * 1024


class FilesError(Exception):
    """The files of a month are not what they should be."""


class TableFile(BaseModel):
    """What was written of one table; the hash is of the rows as PostgreSQL's COPY tells them, not compressed."""

    model_config = ConfigDict(frozen=True)

    file: str
    columns: tuple[str, ...]
    rows: int
    sha256: str


class Manifest(BaseModel):
    """What was written of a month."""

    model_config = ConfigDict(frozen=True)

    month: date
    schema_version: int
    written_at: AwareDatetime
    tables: dict[str, TableFile]


async def write_table(connection: "AnyConnection", table: str, month: date, folder: Path) -> TableFile:
    """Write a month's rows of one table, by their key, and see that they are on the disk."""
    names = await retired_months.columns(connection, f"{table}_{retired_months.suffix(month)}")
    path = folder / f"{table}.copy.gz"
    with _only_mine(path) as raw:
        with gzip.GzipFile("", "wb", mtime=0, fileobj=raw) as packed:
            rows, digest = await copy_out(connection, table, month, names, packed)
        _sync(raw)
    return TableFile(file=path.name, columns=tuple(names), rows=rows, sha256=digest)


async def copy_out(
    connection: "AnyConnection", table: str, month: date, names: list[str], into: "gzip.GzipFile | None" = None
) -> tuple[int, str]:
    """Return the number of a month's rows and the hash of them all; write them, if it is said where."""
    digest = hashlib.sha256()

    async def take(data: bytes) -> None:
        digest.update(data)
        if into:
            into.write(data)

    status = await connection.copy_from_query(retired_months.rows_in_order(table, month, names), output=take)
    return int(status.removeprefix("COPY ")), digest.hexdigest()


async def copy_in(connection: "AnyConnection", table: str, month: date, kept: TableFile, folder: Path) -> None:
    """Read a table's file into the month's table."""
    await connection.copy_to_table(
        f"{table}_{retired_months.suffix(month)}",
        schema_name="reservations",
        source=_chunks(folder / kept.file),
        columns=list(kept.columns),
    )


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    with gzip.open(path) as packed:
        while chunk := packed.read(CHUNK_BYTES):
            yield chunk


def prepare(folder: Path) -> None:
    """Make a folder that nobody else may read, without a manifest: an earlier one tells of an attempt cut short."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Write the manifest in one step: it is there whole, or not at all."""
    unfinished = folder / f"{MANIFEST}.unfinished"
    with _only_mine(unfinished) as file:
        file.write(manifest.model_dump_json(indent=2).encode())
        _sync(file)
    unfinished.replace(folder / MANIFEST)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a folder.

    Raises:
        FilesError: there is none, or it can't be read.

    """
    try:
        return Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except OSError as error:
        raise FilesError(f"{folder / MANIFEST} can't be read ({error.strerror}): name the folder of a month.") from None
    except ValidationError:
        raise FilesError(f"{folder / MANIFEST} is no manifest of a month.") from None


def verify(manifest: Manifest, folder: Path) -> None:
    """See that the files hold what was written.

    Raises:
        FilesError: one does not.

    """
    for table in KEYS:
        kept = manifest.tables[table]
        try:
            found = _digest(folder / kept.file)
        except (OSError, EOFError) as error:
            raise FilesError(f"{folder / kept.file} can't be read ({error}): take it from a backup.") from None
        if found != kept.sha256:
            raise FilesError(f"{folder / kept.file} does not hold what was written: take it from a backup.")


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with gzip.open(path) as packed:
        while chunk := packed.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _only_mine(path: Path) -> IO[bytes]:
    """Open a file for writing that nobody else may read."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())
