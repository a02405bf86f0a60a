"""`reservations token`: tokens for a service that was started with `make run AUTH=required`."""

from datetime import timedelta
from typing import Annotated
from uuid import UUID

import typer
from pydantic import TypeAdapter, ValidationError

from reservations.app.settings import load_settings
from reservations.app.terminal import fail
from reservations.models.access import Claims, Role

GuestId = Annotated[UUID | None, typer.Option(help="Of a guest: who it is.")]
PartnerId = Annotated[str | None, typer.Option(help="Of a partner: which it is.")]
Scope = Annotated[list[str] | None, typer.Option(help="Of a service: reservations:read, reservations:write, or both.")]
Subject = Annotated[str, typer.Option(help="Whose token it is; stands in changed_by of staff and services.")]
Hours = Annotated[float, typer.Option(help="For how long it is good.", min=0.01, max=24 * 7)]


def token(
    role: Annotated[Role, typer.Argument(help="What its bearer is.")],
    *,
    guest_id: GuestId = None,
    partner_id: PartnerId = None,
    scope: Scope = None,
    subject: Subject = "developer",
    hours: Hours = 1,
) -> None:
    """Print a token that the service of `make run AUTH=required` believes; for development only."""
    from reservations.app.stack import tokens

    settings = load_settings()
    key_file = settings.reservations_home.absolute() / tokens.KEY_FILE
    if not key_file.exists():
        fail(f"There is no key in {key_file.parent}: `make run AUTH=required` makes one.")
    told = {"guest_id": guest_id and str(guest_id), "partner_id": partner_id, "scope": scope and " ".join(scope)}
    claims = {"sub": subject, "role": role.value, **{name: value for name, value in told.items() if value}}
    try:
        TypeAdapter(Claims).validate_python(claims)
    except ValidationError as error:
        problems = [f"--{str(each['loc'][-1]).replace('_', '-')}: {each['msg']}" for each in error.errors()]
        fail(f"A {role.value}'s token needs more:\n  " + "\n  ".join(problems))
    typer.echo(tokens.Issuer(key_file, settings.auth_audience).issue(claims, timedelta(hours=hours)))
