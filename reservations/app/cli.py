"""The command line: `reservations …`."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from enum import StrEnum
from typing import Annotated, Any

import typer

from reservations import __version__
from reservations.app import (
    cli_acls,
    cli_backup,
    cli_dead_letters,
    cli_doctor,
    cli_events,
    cli_guests,
    cli_inbox,
    cli_partitions,
    cli_send,
    cli_tokens,
)
from reservations.app.health import is_alive
from reservations.app.settings import load_settings
from reservations.app.terminal import fail, owner_settings, owners_alone, settings_with

GC_THRESHOLDS = (20_000, 20, 50)


class Kept(StrEnum):
    """What `keep` runs."""

    WORKER = "worker"
    GATEWAY = "gateway"


app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="NovaTrek's booking service.",
    pretty_exceptions_enable=False,
)
slots = typer.Typer(no_args_is_help=True, help="The seats of trip dates.")
app.add_typer(slots, name="slots")
app.command(**cli_doctor.OPTIONS)(cli_doctor.doctor)
app.command(**cli_send.OPTIONS)(cli_send.send)
app.command("acls")(cli_acls.acls)
app.add_typer(cli_backup.app, name="backup")
app.add_typer(cli_dead_letters.app, name="dead-letters")
app.add_typer(cli_events.app, name="events")
app.add_typer(cli_inbox.app, name="inbox")
app.add_typer(cli_partitions.app, name="partitions")
app.command()(cli_tokens.token)
app.command()(cli_guests.forget_guest)


def main() -> None:
    """Run the command line."""
    app()


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


@app.command()
def up() -> None:
    """Run the whole service here: Postgres and broker if no other is named, migrations, worker and gateway."""
    from reservations.app.stack.up import up as run_stack

    sys.exit(asyncio.run(run_stack(load_settings())))


@app.command()
def migrate() -> None:
    """Bring the database to this release's schema, and make the coming months' partitions."""
    from reservations.migrations.runner import MigrationError
    from reservations.migrations.runner import migrate as apply

    settings = owner_settings("migrate")
    try:
        applied = asyncio.run(apply(settings.database_url))
    except (MigrationError, OSError) as error:
        fail(f"The database was not migrated: {error}")
    typer.echo(f"Applied: {', '.join(applied)}." if applied else "The database is up to date.")


@app.command()
def topics() -> None:
    """Create the topics that are missing, and say which keep their messages for another time than is meant."""
    from aiokafka.errors import KafkaError

    from reservations.app.logins import LoginRefusedError
    from reservations.app.topics import TopicsError, ensure_topics, settle_retention

    settings = settings_with("KAFKA_BOOTSTRAP_SERVERS")
    try:
        created = asyncio.run(ensure_topics(settings))
        differing = asyncio.run(settle_retention(settings))
    except (TopicsError, LoginRefusedError, KafkaError, OSError) as error:
        fail(f"The topics were not created: {error}")
    typer.echo(f"Created: {', '.join(created)}." if created else "All topics exist.")
    for line in differing:
        typer.echo(line)


@app.command()
def release() -> None:
    """Migrate and create topics, as a release needs it.

    Under `honcho start`, which ends all processes with the first, it stays until it is told to end.
    """
    migrate()
    topics()
    if "HONCHO_PROCESS_NAME" in os.environ:
        typer.echo("Released. Staying, so that the other processes stay.")
        signal.sigwait({signal.SIGTERM, signal.SIGINT})


@app.command()
def worker() -> None:
    """Consume commands until SIGTERM."""
    from reservations.app.worker import run

    _run_for_long(run(settings_with("DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS")))


@app.command()
def gateway() -> None:
    """Serve REST until SIGTERM."""
    from reservations.app.gateway import run

    _run_for_long(run(settings_with("DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS")))


@app.command()
def keep(process: Annotated[Kept, typer.Argument(help="What to run.")]) -> None:
    """Run a worker or gateway, and start it again whenever it ends by itself, until SIGTERM."""
    from reservations.app.stack.keep import keep as keep_running

    asyncio.run(keep_running(process, settings_with("DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS")))


@app.command()
def health(limit_s: Annotated[float, typer.Option(help="How long an answer may take.")] = 2) -> None:
    """Ask the gateway or worker that runs here whether it is alive; exit 1 if it is not."""
    sys.exit(0 if is_alive(load_settings(), limit_s) else 1)


@slots.command()
def audit(
    repair: Annotated[bool, typer.Option(help="Set wrong counts to what the reservations hold.")] = False,
) -> None:
    """Compare the seats counted for each trip date with what its active reservations hold; exit 1 if they differ."""
    from asyncpg import PostgresError

    from reservations.app.audit import audit_slots

    settings = owner_settings("slots audit")
    try:
        with owners_alone():
            wrong = asyncio.run(audit_slots(settings, repair=repair))
    except (PostgresError, OSError) as error:
        fail(f"The seats were not compared ({type(error).__name__}): run it again.")
    for each in wrong:
        typer.echo(f"trip {each.trip_id} on {each.trip_date}: {each.counted} counted, {each.held} held")
    typer.echo(f"{len(wrong)} trip dates differ{' and were repaired' if wrong and repair else ''}.")
    sys.exit(1 if wrong and not repair else 0)


def _run_for_long(process: Coroutine[Any, Any, int]) -> None:
    from reservations.agents.survival import StoppingError
    from reservations.app.dependencies import NotPreparedError
    from reservations.app.logins import LoginRefusedError
    from reservations.app.serving import NotListeningError

    # What the imports made stays, and what a batch makes goes at once: collections would find nothing.
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    # Never closed: that would wait for what was abandoned at the deadline, and Faust may leave a thread.
    runner = asyncio.Runner(loop_factory=_loop_factory())
    try:
        code = runner.run(process)
    except StoppingError:
        code = 0  # it was told to stop before its servers were there
    except (NotPreparedError, LoginRefusedError, NotListeningError) as error:
        fail(str(error))
    sys.stdout.flush()
    os._exit(code)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


if __name__ == "__main__":
    main()
