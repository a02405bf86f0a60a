"""The simulated payments service: it pays deposits, the same ones again when it is started again."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web
from aiokafka import ConsumerRecord

from reservations.app.serving import serving
from reservations.app.stack.payments import deposit, due, payment_of
from reservations.models.identifiers import unix_ms, uuid7
from reservations.models.payments import PaymentProcessed
from reservations.models.topics import CREATED, PAYMENT_PROCESSED
from tests.service import Service

PARTITION_KEY = b"the same for all, so that they are handled in their order"
STOP_LIMIT_S = 20  # far more than it gives itself: on a machine full of other tests 5 s were too short once


class FakeGateway:
    """Answers reservations as the gateway does; the first answer to each is a failure."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: Counter[str] = Counter()
        self.reservations: dict[str, dict[str, Any]] = {}

    async def answer(self, request: web.Request) -> web.Response:
        """Answer a request."""
        key = request.match_info["id"]
        self.asked[key] += 1
        if self.asked[key] == 1:
            return web.json_response({"error": "DATABASE_UNAVAILABLE"}, status=503)
        if key not in self.reservations:
            return web.json_response({"error": "RESERVATION_NOT_FOUND"}, status=404)
        return web.json_response(self.reservations[key])

    def add(self, total_amount: float = 398.10, status: str = "PENDING") -> dict[str, Any]:
        """Add a reservation; return the event that tells of it."""
        made_at = datetime.now(UTC) - timedelta(seconds=1.5)
        reservation_id = str(uuid7(unix_ms(made_at)))
        self.reservations[reservation_id] = {
            "reservation_id": reservation_id,
            "status": status,
            "total_amount": total_amount,
            "currency": "EUR",
        }
        return {"reservation_id": reservation_id, "status": "PENDING", "timestamp": made_at.isoformat()}


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    """Give a gateway on loopback."""
    fake = FakeGateway()
    application = web.Application()
    application.router.add_get("/reservations/{id}", fake.answer)
    async with serving(application, "127.0.0.1", 0, stop_deadline_s=0.1) as fake.url:
        yield fake


@contextmanager
def payments(service: Service, gateway: FakeGateway) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the simulation until the block ends."""
    environment = {**os.environ, **service.variables(), "GATEWAY_URL": gateway.url}
    with subprocess.Popen([sys.executable, "-m", "reservations.app.stack.payments"], env=environment) as popen:
        try:
            yield popen
        finally:
            popen.kill()


async def test_a_deposit_is_paid_for_who_waits_and_repeated_alike(own_service: Service, gateway: FakeGateway) -> None:
    unclaimed = {**gateway.add(), "reservation_id": str(uuid7(0))}
    events = [
        b"no JSON",
        {"status": "PENDING"},
        {**gateway.add(), "status": "CONFIRMED"},
        gateway.add(status="CANCELLED"),
        unclaimed,
        gateway.add(total_amount=0),
    ]
    waiting = gateway.add()
    for event in [*events, waiting]:
        value = event if isinstance(event, bytes) else json.dumps(event).encode()
        await own_service.send(value, PARTITION_KEY, CREATED.name)
    heard: list[ConsumerRecord] = []
    async with own_service.listening(PAYMENT_PROCESSED.name) as listener:
        for run in (1, 2):
            with payments(own_service, gateway) as popen:
                await listener.until(lambda records, run=run: len(records) >= run)  # type: ignore[misc]
                await end(popen)
        heard = listener.heard
    assert len(heard) == 2
    assert heard[0].value == heard[1].value
    assert heard[0].key.decode() == waiting["reservation_id"]
    paid = PaymentProcessed.model_validate_json(heard[0].value)
    assert (paid.amount, paid.currency, paid.status, paid.payment_method) == (
        Decimal("99.53"), "EUR", "COMPLETED", "CREDIT_CARD"
    )  # fmt: skip
    assert paid.reservation_id == UUID(waiting["reservation_id"])
    assert paid.timestamp == datetime.fromisoformat(waiting["timestamp"]) + timedelta(seconds=2)
    assert heard[0].timestamp >= unix_ms(paid.timestamp)


async def end(popen: "subprocess.Popen[bytes]") -> None:
    """End the simulation, which must do so by itself, with status 0."""
    popen.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(popen.wait, STOP_LIMIT_S) == 0


def test_it_says_which_setting_is_missing() -> None:
    command = [sys.executable, "-m", "reservations.app.stack.payments"]
    environment = {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092", "GATEWAY_URL": ""}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (1, "Set GATEWAY_URL.\n")


@pytest.mark.parametrize(
    ("total", "paid"), [("398.00", "99.50"), ("0.02", "0.01"), ("0.01", "0.00"), ("99.99", "25.00")]
)
def test_a_deposit_is_a_quarter_to_the_cent(total: str, paid: str) -> None:
    assert str(deposit(Decimal(total))) == paid


@pytest.mark.parametrize("changed", [{"status": "CONFIRMED"}, {"currency": "JPY"}, {"total_amount": Decimal("0.01")}])
def test_what_needs_no_payment_is_not_paid(changed: dict[str, Any]) -> None:
    created = {"timestamp": "2027-05-01T12:00:00Z"}
    waiting = {"reservation_id": "r", "status": "PENDING", "total_amount": Decimal(100), "currency": "USD"}
    assert payment_of(created, waiting)
    assert payment_of(created, waiting | changed) is None
    assert due(created) == datetime(2027, 5, 1, 12, 0, 2, tzinfo=UTC)
