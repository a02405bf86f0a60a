"""The command line for what guests may ask for: `reservations forget-guest`."""

import asyncio
import getpass
from typing import Annotated
from uuid import UUID

import typer

from reservations.app.terminal import fail, owner_settings, owners_alone


def forget_guest(
    guest_id: Annotated[UUID, typer.Argument(help="The guest to be forgotten.")],
    *,
    by: Annotated[
        str | None, typer.Option(help="Who has it done, for the audit log; by default who is logged in.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be erased.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
) -> None:
    """Erase what is personal of a guest from the database; seats, days, amounts and statuses stay. Safe to repeat."""
    import asyncpg

    from reservations.app.forgetting import forget_guest as forget

    settings = owner_settings("forget-guest")
    actor = by or getpass.getuser()
    try:
        with owners_alone():
            erased = asyncio.run(forget(settings, guest_id, actor, dry_run=dry_run, progress=_tell))
    except (asyncpg.PostgresError, OSError) as error:
        fail(f"Not all was erased ({type(error).__name__}): run it again.")
    counts = erased.model_dump(exclude={"finished"})
    if as_json:
        typer.echo(erased.model_dump_json())
    else:
        listed = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in counts.items())
        typer.echo(f"{'Would be erased' if dry_run else 'Erased'} from {listed}.")


def _tell(kind: str, done: int, total: int) -> None:
    typer.echo(f"{kind}: {done} of {total}", err=True)
