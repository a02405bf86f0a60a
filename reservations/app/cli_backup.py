"""The command line for backups: `reservations backup …`."""

import asyncio
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import orjson
import typer

from reservations.app.terminal import fail, owner_settings

EXIT_MISSING = 3

T = TypeVar("T")

AsJson = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]

app = typer.Typer(no_args_is_help=True, help="Backups of the database.")


@app.command()
def status(
    *,
    as_json: AsJson = False,
    textfile: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Write it for node exporter's textfile collector, too.")
    ] = None,
) -> None:
    """Say how old the last backup and archived WAL are; exit 1 when something is wrong, 3 without pgBackRest."""
    from reservations.app import backup

    settings = owner_settings("backup status")
    found = _run(backup.status(settings))
    if textfile:
        backup.write_textfile(textfile, found, settings)
    typer.echo(orjson.dumps(found.shown()) if as_json else "\n".join(found.lines()))
    sys.exit(1 if found.problems else 0)


@app.command()
def drill(
    *,
    bookings_per_second: Annotated[float, typer.Option(min=1, help="Bookings to make in a second.")] = 50,
    seconds: Annotated[float, typer.Option(min=3, help="How long to book before and after the backup.")] = 9,
    keep: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Work in this folder, new or empty, and leave all there.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Lose a server of its own under load, restore it to a moment, and prove that all is there and no more.

    It needs no settings and touches no other server. Exits with 1 if anything differs, with 3 without pgBackRest.
    """
    from reservations.app.drill.drill import Drill, Plan

    plan = Plan(bookings_per_second, seconds, keep)
    report = _run(Drill(plan, lambda line: typer.echo(line, err=True)).run())
    typer.echo(orjson.dumps(report.shown()) if as_json else "\n".join(report.lines()))
    sys.exit(1 if report.differences else 0)


def _run(work: Coroutine[Any, Any, T]) -> T:
    import asyncpg

    from reservations.app.pgbackrest import MissingError, PgBackRestError
    from reservations.app.stack.programs import StackError

    try:
        return asyncio.run(work)
    except MissingError as error:
        typer.echo(str(error), err=True)
        sys.exit(EXIT_MISSING)
    except (PgBackRestError, StackError) as error:
        fail(str(error))
    except (asyncpg.PostgresError, OSError) as error:
        fail(f"PostgreSQL could not be asked ({type(error).__name__}): {error}")
