"""The command line for the months: `reservations partitions …`."""

import asyncio
from collections.abc import Coroutine
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import orjson
import typer

from reservations.app.settings import Settings
from reservations.app.terminal import Progress, fail, owner_settings, owners_alone

if TYPE_CHECKING:
    from reservations.app.months.files import Manifest
    from reservations.tables.retired_months import MonthSize

T = TypeVar("T")

app = typer.Typer(no_args_is_help=True, help="The months that reservations are kept by.")


def _month(text: str) -> date:
    try:
        return date.fromisoformat(f"{text}-01")
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no month; 2027-01 is one") from None


Month = Annotated[date, typer.Argument(parser=_month, metavar="MONTH", help="As in 2027-01.")]
Folder = Annotated[
    Path | None, typer.Option(help="Where folders of retired months are; by default in RESERVATIONS_HOME.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, an object on each line.")]
ShowProgress = Annotated[bool | None, typer.Option("--progress/--no-progress", help="By default on a terminal only.")]


@app.command("list", epilog="Example: reservations partitions list --count")
def list_months(
    *,
    count: Annotated[bool, typer.Option("--count", help="Count the reservations, which reads them all.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print each month: whether it is attached, its size, how many reservations (an estimate), first and last id."""
    for size in _run(_sizes(owner_settings("partitions list"), count)):
        typer.echo(orjson.dumps(size, default=str) if as_json else _line(size))


@app.command(epilog="Example: reservations partitions ensure --ahead 6")
def ensure(
    *,
    ahead: Annotated[int, typer.Option(min=1, max=120, help="How many months ahead.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Make the partitions of the current month and of those ahead that are missing."""
    made = [f"{month:%Y-%m}" for month in _run(_ensure(owner_settings("partitions ensure"), ahead))]
    if as_json:
        typer.echo(orjson.dumps({"made": made}))
    else:
        typer.echo(f"Made: {', '.join(made)}." if made else "All months are there.")


@app.command(epilog="Example: reservations partitions retire 2027-01 --folder /backups/months")
def retire(
    month: Month,
    *,
    folder: Folder = None,
    drop: Annotated[bool, typer.Option("--drop", help="Drop the tables, once the files hold the same.")] = False,
    as_json: AsJson = False,
    progress: ShowProgress = None,
) -> None:
    """Write the oldest month to files, and detach its tables; its reservations are not found (404) from then on.

    It is refused while a reservation of the month is not at its end, or its trip lies ahead. What was cut short may be
    repeated. The files hold what is personal: they are readable by who wrote them only.

    Exit status: 0 done, 1 refused or failed, 2 a wrong command line.
    """
    settings = owner_settings("partitions retire")
    into = _folder(settings, folder) / f"{month:%Y-%m}"
    manifest, dropped = _run(_retire(settings, month, into, drop, Progress(progress)))
    _tell(manifest, as_json, f"Retired to {into}; its tables are {'dropped' if dropped else 'detached'}.")


@app.command(epilog="Example: reservations partitions restore /backups/months/2027-01")
def restore(
    files: Annotated[Path, typer.Argument(metavar="FILE", help="The folder of a retired month, or its manifest.json.")],
    *,
    as_json: AsJson = False,
    progress: ShowProgress = None,
) -> None:
    """Bring a retired month back, and see that it is what was written, by counts and checksums.

    Guests who were forgotten meanwhile are in the files still: repeat `reservations forget-guest` for them.

    Exit status: 0 done, 1 refused or failed, 2 a wrong command line.
    """
    from reservations.app.months.files import MANIFEST

    folder = files.parent if files.name == MANIFEST else files
    manifest = _run(_restore(owner_settings("partitions restore"), folder, Progress(progress)))
    _tell(manifest, as_json, "Restored.")


def _folder(settings: Settings, folder: Path | None) -> Path:
    return folder or settings.reservations_home / "retired"


def _line(size: "MonthSize") -> str:
    state = "attached" if size.attached else "detached"
    span = f"{size.first_id} to {size.last_id}" if size.first_id else "empty"
    rows = "not yet estimated" if size.rows is None else f"{size.rows:>10} reservations"
    return f"{size.month:%Y-%m} {state} {size.size_bytes / 2**20:>10.1f} MB {rows}  {span}"


def _tell(manifest: "Manifest", as_json: bool, words: str) -> None:
    if as_json:
        typer.echo(manifest.model_dump_json())
        return
    rows = ", ".join(f"{kept.rows} {table.replace('_', ' ')}" for table, kept in manifest.tables.items())
    typer.echo(f"{manifest.month:%Y-%m}: {rows}. {words}")


async def _sizes(settings: Settings, count: bool) -> "list[MonthSize]":
    from reservations.app.months.retiring import as_owner
    from reservations.tables import retired_months

    async with as_owner(settings) as connection:
        return await retired_months.sizes(connection, count=count)


async def _ensure(settings: Settings, ahead: int) -> list[date]:
    from reservations.app.months.retiring import as_owner
    from reservations.tables import partitions

    async with as_owner(settings) as connection:
        return await partitions.ensure_months(connection, ahead)


async def _retire(
    settings: Settings, month: date, folder: Path, drop: bool, progress: Progress
) -> "tuple[Manifest, bool]":
    from reservations.app.months import retiring

    async with retiring.as_owner(settings) as connection:
        manifest = await retiring.retire(connection, month, folder, progress=progress.tell)
        return manifest, drop and await retiring.drop(connection, month, folder)


async def _restore(settings: Settings, folder: Path, progress: Progress) -> "Manifest":
    from reservations.app.months import retiring

    async with retiring.as_owner(settings) as connection:
        return await retiring.restore(connection, folder, progress.tell)


def _run(work: Coroutine[Any, Any, T]) -> T:
    import asyncpg

    from reservations.app.months.files import FilesError
    from reservations.app.months.retiring import RefusedError

    try:
        with owners_alone():
            return asyncio.run(work)
    except (RefusedError, FilesError) as error:
        fail(str(error))
    except (asyncpg.PostgresError, OSError) as error:
        fail(f"Not all was done ({type(error).__name__}: {error}); it may be repeated.")
