"""A simulated payments service: pays the deposit of every reservation that waits for its payment.

Run it with `python -m reservations.app.stack.payments`. It is no part of the service. Environment:
KAFKA_BOOTSTRAP_SERVERS, GATEWAY_URL, and KAFKA_TOPIC_PREFIX where topics have one. Where the gateway asks for
tokens of the state folder: its AUTH settings, and TOKEN_KEY_FILE.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self
from uuid import UUID, uuid5

import aiohttp
import stamina
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from reservations.app.settings.auth import DEFAULT_AUDIENCE, Auth
from reservations.app.stack.supervisor import Say, say
from reservations.app.stack.tokens import ISSUER, Issuer
from reservations.models.topics import CREATED, PAYMENT_PROCESSED

DEPOSIT = Decimal("0.25")
CENT = Decimal("0.01")
CURRENCIES = ("USD", "CAD", "EUR", "GBP")
PAID_AFTER = timedelta(seconds=2)
#: Ids are derived from reservation ids under this one: who pays again repeats the same event.
PAYMENTS = UUID("8d3f5cf4-3c2d-5b0e-9a53-0f3c8f6f1f5e")
FETCH_WAIT_MS = 100
READ_LIMIT_S = 2
GATEWAY_BACK_LIMIT_S = 30
STOP_LIMIT_S = 1
TOKEN_LIFETIME = timedelta(minutes=1)

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Options:
    """Where everything is."""

    brokers: str
    gateway_url: str
    topic_prefix: str
    issuer: Issuer | None = None
    """Signs what the gateway wants to see, where it wants to see something."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """Return what the environment names, or end the process with a message."""
        for name in ("KAFKA_BOOTSTRAP_SERVERS", "GATEWAY_URL"):
            if not environ.get(name):
                sys.exit(f"Set {name}.")
        return cls(
            environ["KAFKA_BOOTSTRAP_SERVERS"],
            environ["GATEWAY_URL"].rstrip("/"),
            environ.get("KAFKA_TOPIC_PREFIX", ""),
            _issuer(environ),
        )

    def headers(self) -> dict[str, str]:
        """Return what a read of the gateway carries."""
        if self.issuer is None:
            return {}
        claims = {"sub": "payments-simulation", "role": "service", "scope": "reservations:read"}
        return {"Authorization": f"Bearer {self.issuer.issue(claims, TOKEN_LIFETIME)}"}


def _issuer(environ: Mapping[str, str]) -> Issuer | None:
    if environ.get("AUTH") != Auth.REQUIRED or environ.get("AUTH_ISSUER") != ISSUER:
        return None
    return Issuer(Path(environ["TOKEN_KEY_FILE"]), environ.get("AUTH_AUDIENCE", DEFAULT_AUDIENCE))


def deposit(total_amount: Decimal) -> Decimal:
    """Return a quarter of the total, to the cent."""
    return (total_amount * DEPOSIT).quantize(CENT, ROUND_HALF_UP)


def payment_of(created: Json, reservation: Json) -> dict[str, Any] | None:
    """Return the event of a deposit that was paid, None when there is nothing to pay (any more)."""
    amount, currency = deposit(reservation["total_amount"]), reservation["currency"]
    if reservation["status"] != "PENDING" or not amount or currency not in CURRENCIES:
        return None
    reservation_id = str(reservation["reservation_id"])
    return {
        "event_id": str(uuid5(PAYMENTS, f"event {reservation_id}")),
        "event_type": "payment.processed",
        "timestamp": due(created).isoformat(),
        "payment_id": str(uuid5(PAYMENTS, f"payment {reservation_id}")),
        "reservation_id": reservation_id,
        "amount": float(amount),
        "currency": currency,
        "status": "COMPLETED",
        "payment_method": "CREDIT_CARD",
    }


def due(created: Json) -> datetime:
    """Return when a reservation is paid: two seconds after it was made."""
    return datetime.fromisoformat(created["timestamp"]).astimezone(UTC) + PAID_AFTER


class Payments:
    """Pays for one reservation after the other."""

    def __init__(self, session: aiohttp.ClientSession, producer: AIOKafkaProducer, options: Options, say: Say) -> None:
        self._session = session
        self._producer = producer
        self._options = options
        self._say = say
        self._insisting = stamina.AsyncRetryingCaller(attempts=None, timeout=GATEWAY_BACK_LIMIT_S, wait_max=2)

    async def handle(self, value: bytes) -> None:
        """Pay for the reservation that a message tells of; what can't be understood or read is left out."""
        try:
            created = json.loads(value)
            if created["status"] == "PENDING":
                await self._pay(created)
        except (ValueError, KeyError, TypeError, ArithmeticError) as error:
            self._say(f"an event is left out: it can't be understood ({type(error).__name__})")
        except (aiohttp.ClientError, OSError) as error:
            self._say(f"a reservation is left out: it can't be read ({type(error).__name__})")

    async def _pay(self, created: Json) -> None:
        wait = due(created) - datetime.now(UTC)
        await asyncio.sleep(min(max(wait, timedelta()), PAID_AFTER).total_seconds())
        reservation = await self._insisting((aiohttp.ClientError, OSError), self._read, UUID(created["reservation_id"]))
        payment = payment_of(created, reservation) if reservation else None
        if payment is None:
            return
        topic, key = self._options.topic_prefix + PAYMENT_PROCESSED.name, payment["reservation_id"].encode()
        await self._producer.send_and_wait(topic, json.dumps(payment).encode(), key)
        self._say(f"paid {payment['amount']:.2f} {payment['currency']} for {payment['reservation_id']}")

    async def _read(self, reservation_id: UUID) -> Json | None:
        url, limit = f"{self._options.gateway_url}/reservations/{reservation_id}", aiohttp.ClientTimeout(READ_LIMIT_S)
        async with self._session.get(url, timeout=limit, headers=self._options.headers()) as response:
            if response.status == HTTPStatus.NOT_FOUND:
                return None
            response.raise_for_status()
            found: Json = json.loads(await response.read(), parse_float=Decimal, parse_int=Decimal)
            return found


async def run(options: Options, say: Say = say) -> None:
    """Pay until cancelled. It reads from the beginning each time, for it keeps no account of what is paid."""
    consumer = AIOKafkaConsumer(
        options.topic_prefix + CREATED.name,
        bootstrap_servers=options.brokers,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=FETCH_WAIT_MS,
    )
    producer = AIOKafkaProducer(bootstrap_servers=options.brokers, acks="all")
    try:
        await consumer.start()
        await producer.start()
        async with aiohttp.ClientSession() as session:
            payments = Payments(session, producer, options, say)
            async for record in consumer:
                await payments.handle(record.value)
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_LIMIT_S):
                await asyncio.gather(consumer.stop(), producer.stop(), return_exceptions=True)


async def until_told(work: Callable[[], Any]) -> None:
    """Run until SIGTERM or SIGINT."""
    running = asyncio.ensure_future(work())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    with suppress(asyncio.CancelledError):
        await running


def main() -> None:
    """Pay until SIGTERM or SIGINT."""
    options = Options.from_environment(os.environ)
    asyncio.run(until_told(lambda: run(options)))


if __name__ == "__main__":
    main()
