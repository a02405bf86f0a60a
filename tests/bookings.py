"""Bookings to send, and payments for them: bodies for REST, messages for Kafka."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from aiokafka import ConsumerRecord

from reservations.models.identifiers import unix_ms, uuid7
from reservations.models.topics import COMMANDS, CREATED, PAYMENT_PROCESSED, RESULTS, STATUS_CHANGED
from tests.service import Service

Headers = Sequence[tuple[str, bytes]]


def a_booking(**changes: Any) -> dict[str, Any]:
    """Return the body of a new reservation, some of it changed."""
    return {
        "guest_id": str(uuid4()),
        "trip_id": str(uuid4()),
        "trip_date": "2027-06-12",
        "total_amount": 398.0,
        **changes,
    }


async def book(service: Service, **changes: Any) -> dict[str, Any]:
    """Make a reservation over REST; return it."""
    status, made, _ = await service.ask("POST", "/reservations", json=a_booking(**changes))
    assert status == 201, made
    reservation: dict[str, Any] = made
    return reservation


def a_command(kind: str, payload: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a command as a producer sends it, some of it changed."""
    return {
        "command_id": str(uuid4()),
        "type": kind,
        "issued_at": datetime.now(UTC).isoformat(),
        "issued_by": "back-office",
        "payload": payload,
        **changes,
    }


def a_payment(reservation_id: str, amount: float, **changes: Any) -> dict[str, Any]:
    """Return an event of svc-payments, some of it changed."""
    return {
        "event_id": str(uuid4()),
        "event_type": "payment.processed",
        "timestamp": datetime.now(UTC).isoformat(),
        "payment_id": f"pay-{uuid4()}",
        "reservation_id": reservation_id,
        "amount": amount,
        "currency": "USD",
        "status": "COMPLETED",
        "payment_method": "CREDIT_CARD",
        **changes,
    }


def a_held_creation(**changes: Any) -> dict[str, Any]:
    """Return a command that makes a reservation of 400 USD, awaiting its payment, under an id of the caller's own."""
    booking = a_booking(awaiting_payment=True, total_amount=400.0, **changes)
    return a_command("reservation.create", booking, reservation_id=new_reservation_id())


def new_reservation_id() -> str:
    """Return an id for a reservation made now."""
    return str(uuid7(unix_ms(datetime.now(UTC))))


def encoded(command: dict[str, Any]) -> bytes:
    """Return the bytes of a command or an event."""
    return json.dumps(command).encode()


def decoded(records: Sequence[ConsumerRecord]) -> list[dict[str, Any]]:
    """Return what messages say."""
    return [json.loads(record.value) for record in records]


def message_id(message: dict[str, Any]) -> str:
    """Return the id of a command or an event, which its result names."""
    return str(message.get("command_id") or message["event_id"])


def key_of(command: dict[str, Any]) -> bytes:
    """Return the key under which a producer sends a command or an event."""
    return str(command.get("reservation_id") or message_id(command)).encode()


def a_trace() -> tuple[str, bytes]:
    """Return a W3C trace context header that nothing else has."""
    return ("traceparent", f"00-{uuid4().hex}-b7ad6b7169203331-01".encode())


def is_of(trace: tuple[str, bytes], record: ConsumerRecord) -> bool:
    """Tell whether a message belongs to a trace: to the same trace, whichever span it was sent in."""
    name, value = trace
    _, trace_id, _ = value.split(b"-", 2)
    return any(trace_id in carried for key, carried in record.headers if key == name)


async def send_commands(
    service: Service, *commands: dict[str, Any], topic: str = COMMANDS.name, headers: Headers = ()
) -> None:
    """Send commands at once, in their order; return when the broker has them all."""
    name = service.topic_prefix + topic
    sent = [await service.producer.send(name, encoded(each), key_of(each), headers=list(headers)) for each in commands]
    await asyncio.gather(*sent)


async def perform(
    service: Service, *commands: dict[str, Any], topic: str = COMMANDS.name, limit_s: float = 20
) -> list[dict[str, Any]]:
    """Send commands over Kafka at once; return a result for each.

    Results under one key come in order: a repeated command may stand in one call, one with another outcome may not.
    """
    trace = a_trace()  # tells what was answered now from what was answered before: a repetition has the same id
    wanted = Counter(map(message_id, commands))

    def results(heard: list[ConsumerRecord]) -> list[dict[str, Any]]:
        return decoded([record for record in heard if is_of(trace, record)])

    def all_there(heard: list[ConsumerRecord]) -> bool:
        return wanted <= Counter(each["command_id"] for each in results(heard))

    async with service.listening(RESULTS.name) as listener:
        await send_commands(service, *commands, topic=topic, headers=[trace])
        await listener.until(all_there, limit_s)
    found = results(listener.heard)
    return [_take(found, message_id(each)) for each in commands]


async def pay(service: Service, *events: dict[str, Any], limit_s: float = 20) -> list[dict[str, Any]]:
    """Send events of svc-payments at once; return a result for each. One that has to wait has none."""
    return await perform(service, *events, topic=PAYMENT_PROCESSED.name, limit_s=limit_s)


def _take(results: list[dict[str, Any]], command_id: str) -> dict[str, Any]:
    found = next(each for each in results if each["command_id"] == command_id)
    results.remove(found)
    return found


async def told(service: Service) -> dict[str, bytes]:
    """Return what events tell, by event id; one that was published again must say the same."""
    events: dict[str, bytes] = {}
    for topic in (CREATED.name, STATUS_CHANGED.name):
        for record in await service.read(topic):
            assert events.setdefault(json.loads(record.value)["event_id"], record.value) == record.value
    return events
