"""`reservations send` and `reservations inbox show`: what an operator sends, and what becomes of it."""

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner, Result

from reservations.app.cli import app
from reservations.app.envelopes import commands_of
from reservations.app.sending import Answer
from reservations.models.topics import BULK_COMMANDS, COMMANDS
from tests.bookings import a_booking, a_command, a_payment, new_reservation_id
from tests.own_service import until_waiting
from tests.service import Service

NEEDS, PHONE = "cAnArYnEeDs", "cAnArYpHoNe"


async def reservations(service: Service, *command: str, given: str | None = None) -> Result:
    """Run a command of the service to its end."""
    runner = CliRunner(env=service.variables())
    return await asyncio.to_thread(runner.invoke, app, list(command), input=given)


def last(result: Result) -> dict[str, Any]:
    """Return what the last line says."""
    told: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return told


async def test_commands_are_sent_in_order_and_what_they_came_to_is_told(service: Service, tmp_path: Path) -> None:
    reservation_id = new_reservation_id()
    booking = a_booking(special_requirements=NEEDS, emergency_contact={"name": "Sam", "phone": PHONE})
    create = a_command("reservation.create", booking, reservation_id=reservation_id)
    file = tmp_path / "commands.json"
    file.write_text(
        json.dumps(
            [
                create,
                {"type": "participant.add", "reservation_id": reservation_id, "payload": {"guest_id": str(uuid4())}},
            ]
        )
    )
    sent = await reservations(service, "send", str(file), "--progress")
    assert sent.exit_code == 0, sent.output
    assert [line.rpartition(" ")[2] for line in sent.stdout.splitlines()] == ["1", "2"]
    assert "sent: 2 of 2" in sent.stderr
    assert "answered: 2 of 2" in sent.stderr

    again = await reservations(service, "send", "-", "--json", given=json.dumps(create))
    assert (again.exit_code, last(again)["outcome"], last(again)["replayed"]) == (0, "applied", True)

    shown = await reservations(service, "inbox", "show", create["command_id"])
    assert shown.exit_code == 0, shown.output
    assert "reservation.created" in shown.stdout
    assert NEEDS not in shown.stdout
    assert PHONE not in shown.stdout
    revealed = await reservations(service, "inbox", "show", create["command_id"], "--reveal", "--json")
    assert last(revealed)["result"]["reservation"]["special_requirements"] == NEEDS
    assert (last(revealed)["issued_by"], last(revealed)["kind"]) == ("back-office", "reservation.create")


async def test_the_exit_status_tells_how_it_ended(service: Service) -> None:
    nobody = ("--reservation-id", new_reservation_id(), "--payload", '{"reason": "WEATHER"}')
    rejected = await reservations(service, "send", "--type", "reservation.cancel", *nobody, "--issued-by", "sam")
    assert rejected.exit_code == 2
    assert "RESERVATION_NOT_FOUND" in rejected.stdout
    misused = await reservations(service, "send", "--nonsense")
    assert misused.exit_code == 1
    away = CliRunner(env={**service.variables(), "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"})
    command = ["send", "--type", "reservation.cancel", *nobody]
    assert (await asyncio.to_thread(away.invoke, app, command)).exit_code == 1


async def test_a_command_that_nobody_answers_ends_with_4_or_is_not_waited_for(own_service: Service) -> None:
    booking = ("--type", "reservation.create", "--payload", json.dumps(a_booking()))
    late = await reservations(own_service, "send", *booking, "--timeout-s", "0.3")
    assert (late.exit_code, "no result in time" in late.stdout) == (4, True)
    unwaited = await reservations(own_service, "send", *booking, "--bulk", "--no-wait")
    assert (unwaited.exit_code, ": sent;" in unwaited.stdout) == (0, True)
    assert [len(await own_service.read(topic.name)) for topic in (COMMANDS, BULK_COMMANDS)] == [1, 1]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("{", "body: is no JSON"),
        ("[]", "body: must be"),
        ('{"type": "reservation.cancel", "payload": {}}', "reservation_id: is required; payload.reason: is required"),
        ('{"type": "no.such", "payload": {}}', "type: is not a known type"),
        ('{"type": "reservation.create"}\n{"type": "reservation.create"}', "command 2: payload: is required"),
    ],
)
def test_what_is_no_command_is_not_sent_and_its_field_is_named(given: str, named: str) -> None:
    # No broker is named: what is wrong is found before one is looked for.
    result = CliRunner().invoke(app, ["send", "-"], input=given)
    assert result.exit_code == 1
    assert named in result.stderr


@pytest.mark.parametrize(("outcome", "status"), [("applied", 0), ("rejected", 2), ("dead_lettered", 3), (None, 4)])
def test_each_outcome_has_an_exit_status(outcome: str | None, status: int) -> None:
    (command,) = commands_of([a_command("reservation.create", a_booking())], "sam")
    assert Answer(command, {"outcome": outcome} if outcome else None).ending == status
    assert Answer(command, trouble="the broker is away").ending == 1


async def test_a_payment_that_waits_is_shown_and_an_id_that_is_not_there_is_told(service: Service) -> None:
    reservation_id = new_reservation_id()
    payment = a_payment(reservation_id, 100.0)
    await service.send(json.dumps(payment).encode(), reservation_id.encode(), "novatrek.support.payment.processed")
    await until_waiting(service, 1, reservation_id)
    shown = await reservations(service, "inbox", "show", payment["event_id"], "--json")
    assert (last(shown)["outcome"], last(shown)["waiting"]["payload"]["amount"]) == ("waiting", 100.0)
    missing = await reservations(service, "inbox", "show", str(uuid4()))
    assert (missing.exit_code, "waits on its topic" in missing.stderr) == (1, True)
