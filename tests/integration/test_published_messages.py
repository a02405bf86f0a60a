"""What the service really puts on its topics is as its AsyncAPI document says."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from reservations.models.topics import CREATED, DEAD_LETTERS, RESULTS, STATUS_CHANGED
from tests.bookings import a_booking, a_payment, book, pay
from tests.message_schemas import COMMAND_NAMES, commands_of, document_of, headers_of, message_complaints
from tests.service import Service

SENT = {
    CREATED.name: "ReservationCreated",
    STATUS_CHANGED.name: "StatusChanged",
    RESULTS.name: "CommandResult",
    DEAD_LETTERS.name: "DeadLetter",
}


async def live(service: Service, headers: Mapping[str, str]) -> None:
    """Make a reservation and do to it all that can be done, one of it in vain, over REST."""
    status, made, _ = await service.ask("POST", "/reservations", json=a_booking(party_size=2), headers=headers)
    assert status == 201, made
    one = f"/reservations/{made['id']}"
    contact = {"name": "Sam Rivera", "phone": "+1 555 0100"}
    changes = {"party_size": 3, "emergency_contact": contact, "_rev": 1}
    steps: list[tuple[str, str, dict[str, Any] | None, int]] = [
        ("PATCH", one, changes, 200),
        ("PATCH", one, changes, 409),
        ("POST", f"{one}/participants", {"guest_id": str(uuid4())}, 201),
        ("PUT", f"{one}/status", {"target_status": "CHECKED_IN", "_rev": 3, "reason": "Arrived"}, 200),
        ("DELETE", f"{one}?reason=WEATHER", None, 200),
    ]
    for method, path, body, expected in steps:
        status, answer, _ = await service.ask(method, path, json=body, headers=headers)
        assert status == expected, answer


async def pay_too_late_and_send_nonsense(service: Service) -> None:
    """Bring about a dead letter of a payment that was refused, and one of what is no command."""
    made = await book(service)
    await service.ask("DELETE", f"/reservations/{made['id']}?reason=WEATHER")
    await pay(service, a_payment(made["id"], 100.0))
    key = str(uuid4()).encode()
    async with service.listening(DEAD_LETTERS.name) as listener:
        await service.send(b"nonsense", key)
        await listener.until(lambda heard: any(each.key == key for each in heard))


async def test_every_message_that_is_sent_is_as_the_document_says(service: Service) -> None:
    document = await document_of(service)
    await live(service, {})
    await pay_too_late_and_send_nonsense(service)
    for topic, name in SENT.items():
        records = await service.read(topic)
        assert records, topic
        for record in records:
            payload = None if name == "DeadLetter" else json.loads(record.value)
            assert message_complaints(document, name, payload, headers_of(record)) == [], (topic, record.offset)


async def test_events_are_keyed_by_their_reservation(service: Service) -> None:
    await live(service, {})
    for topic in (CREATED.name, STATUS_CHANGED.name):
        for record in await service.read(topic):
            told, headers = json.loads(record.value), headers_of(record)
            assert record.key.decode() == told["reservation_id"] == headers["ce_subject"]
            assert (headers["ce_id"], headers["ce_type"]) == (told["event_id"], told["event_type"])


async def test_every_command_of_the_gateway_is_as_the_document_says(service: Service) -> None:
    trace = uuid4().hex
    await live(service, {"traceparent": f"00-{trace}-b7ad6b7169203331-01"})
    assert {command["type"] for command in await commands_of(service, trace)} == COMMAND_NAMES.keys()


async def test_the_document_names_the_topics_as_they_are_named_here(service: Service) -> None:
    channels = (await document_of(service))["channels"].values()
    assert {len(await partitions(service, each["address"])) for each in channels} == {4}
    assert {each["bindings"]["kafka"]["partitions"] for each in channels} == {4}


async def partitions(service: Service, topic: str) -> set[int]:
    """Return the partitions of a topic."""
    found: set[int] = await service.producer.partitions_for(topic)
    return found
