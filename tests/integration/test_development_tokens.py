"""`make run AUTH=required`, and the tokens that `reservations token` makes for it."""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from uuid import uuid4

import pytest

from tests.bookings import a_booking
from tests.stack_run import eventually
from tests.whole_stack import environment, running_stack

TRIP = "00000000-0000-4000-9000-000000000008"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tokens-", dir="/tmp") as name:
        Path(name).chmod(0o755)  # the database's user has to get in
        yield Path(name)


@pytest.fixture(scope="module")
def gateway(folder: Path) -> Iterator[str]:
    with running_stack(folder, AUTH="required") as printed:
        assert "tokens of `.venv/bin/reservations token`" in printed
        yield re.findall(r"REST +(http://\S+)/reservations", printed)[0]


def token(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run `reservations token` in a folder."""
    command = [sys.executable, "-m", "reservations.app.cli", "token", *arguments]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)


def ask(method: str, url: str, bearer: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
    """Send a request with a token; return status and body."""
    headers = {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"}
    request = Request(url, json.dumps(body).encode() if body else None, headers, method=method)  # noqa: S310  # loopback
    try:
        with urlopen(request, timeout=10) as response:  # noqa: S310  # loopback
            return response.status, json.load(response)
    except HTTPError as error:
        return error.code, json.load(error)


def test_a_guest_books_with_a_token_and_sees_that_it_was_paid(folder: Path, gateway: str) -> None:
    guest_id = str(uuid4())
    bearer = token(folder, "guest", "--guest-id", guest_id).stdout.strip()
    body = a_booking(guest_id=guest_id, trip_id=TRIP, total_amount=199.0, awaiting_payment=True)
    status, made = ask("POST", f"{gateway}/reservations", bearer, body)
    assert (status, made["status"]) == (201, "PENDING")
    # The simulated payments service has a token of its own to read the reservation with.
    eventually(lambda: ask("GET", f"{gateway}/reservations/{made['id']}", bearer)[1]["status"] == "CONFIRMED", 20)
    stranger = token(folder, "guest", "--guest-id", str(uuid4())).stdout.strip()
    assert ask("GET", f"{gateway}/reservations/{made['id']}", stranger)[0] == 404
    reader = token(folder, "service", "--scope", "reservations:read").stdout.strip()
    assert ask("GET", f"{gateway}/reservations/{made['id']}", reader)[0] == 200
    assert ask("DELETE", f"{gateway}/reservations/{made['id']}?reason=WEATHER", reader)[0] == 403


def test_nobody_is_let_in_without_a_token(gateway: str) -> None:
    assert ask("GET", f"{gateway}/reservations", "none")[0] == 401


def test_only_its_owner_reads_the_key(folder: Path, gateway: str) -> None:
    assert gateway
    assert (folder / ".reservations" / "token-key.pem").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["guest"], "--guest-id: Field required"),
        (["guest", "--guest-id", "x"], "--guest-id"),
        (["partner"], "--partner-id: Field required"),
        (["partner", "--partner-id", "a b"], "--partner-id"),
        (["king"], "'king' is not one of"),
    ],
)
def test_a_token_that_would_not_be_believed_is_not_made(
    folder: Path, gateway: str, arguments: list[str], said: str
) -> None:
    assert gateway
    made = token(folder, *arguments)
    assert made.returncode
    assert said in made.stderr
    assert not made.stdout


def test_without_a_key_there_are_no_tokens(tmp_path: Path) -> None:
    made = token(tmp_path, "staff")
    assert made.returncode == 1
    assert "`make run AUTH=required` makes one" in made.stderr
