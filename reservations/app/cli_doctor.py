"""The command line that examines a deployment: `reservations doctor`."""

import asyncio
import logging
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import orjson
import typer
from pydantic import ValidationError

from reservations.app.doctor.findings import Finding, Verdict
from reservations.app.settings import Settings, complaints

if TYPE_CHECKING:
    from reservations.app.doctor.examination import Plan

EPILOG = "Example: reservations doctor --gateway-url https://reservations.example --by rest"

#: How the command is made known.
OPTIONS: Mapping[str, Any] = {"epilog": EPILOG}

Way = Annotated[str, typer.Option(help="How to book: rest, the whole path, or kafka, without the gateway.")]
NoBooking = Annotated[bool, typer.Option("--no-booking", help="Change nothing: don't book and cancel.")]
Gateway = Annotated[str | None, typer.Option(help="Where the gateway is; by default as the settings say.")]
Worker = Annotated[str | None, typer.Option(help="Where a worker's health is; by default as the settings say.")]
Token = Annotated[str | None, typer.Option(envvar="RESERVATIONS_TOKEN", help="What the gateway is to believe.")]
Timeout = Annotated[float, typer.Option(min=1, max=60, help="How long each step of the booking may take.")]
Guest = Annotated[UUID | None, typer.Option(help="Who books; by default a guest of the doctor's own.")]
Trip = Annotated[UUID | None, typer.Option(help="What is booked; by default a trip of the doctor's own.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print a JSON object for each check, on a line.")]


def doctor(
    *,
    by: Way = "rest",
    no_booking: NoBooking = False,
    gateway_url: Gateway = None,
    worker_url: Worker = None,
    token: Token = None,
    timeout_s: Timeout = 10,
    guest_id: Guest = None,
    trip_id: Trip = None,
    as_json: AsJson = False,
) -> None:
    """Examine settings, database, broker, worker and gateway, then book and cancel; say what to do where it is amiss.

    The booking is made far ahead, for a guest and a trip of the doctor's own, and cancelled at once; each step is
    timed. It stays readable, and its events are published like any.

    Exit status: 0 all is well (there may be warnings), 1 something is wrong, 2 a wrong command line.
    """
    from reservations.app.doctor.booking import GUEST_ID, TRIP_ID
    from reservations.app.doctor.examination import By, Plan

    if by not in (By.REST, By.KAFKA):
        raise typer.BadParameter("--by: must be rest or kafka.")
    # What clients log of a server that is away is among the findings.
    logging.disable(logging.CRITICAL)
    plan = Plan(
        By.NO_WAY if no_booking else By(by),
        gateway_url,
        worker_url,
        token,
        timeout_s,
        guest_id or GUEST_ID,
        trip_id or TRIP_ID,
    )
    sys.exit(asyncio.run(_examine(plan, as_json=as_json)))


async def _examine(plan: "Plan", *, as_json: bool) -> int:
    """Examine and say so; return the exit status."""
    from reservations.app.doctor.configuration import unusable
    from reservations.app.doctor.examination import examine

    try:
        settings = Settings()
    except ValidationError as error:
        found = unusable(complaints(error))
        for finding in found:
            _tell(finding, as_json=as_json)
    else:
        found = []
        async for finding in examine(settings, plan):
            _tell(finding, as_json=as_json)
            found.append(finding)
    amiss = sum(finding.verdict is Verdict.WRONG for finding in found)
    if not as_json:
        typer.echo(f"{amiss} of {len(found)} checks found something wrong." if amiss else "Nothing is wrong.")
    return 1 if amiss else 0


def _tell(finding: Finding, *, as_json: bool) -> None:
    for line in [orjson.dumps(finding.row())] if as_json else finding.lines():
        typer.echo(line)
