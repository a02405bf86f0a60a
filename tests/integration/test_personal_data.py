"""What is personal comes in by every way, good and bad, and is in no log, metric, span, error or header."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import pytest
from aiokafka import ConsumerRecord

from reservations.models.topics import COMMANDS, DEAD_LETTERS, RESULTS, TOPICS
from tests.bookings import a_booking, a_command, a_trace, encoded, new_reservation_id, perform, send_commands
from tests.collector import Collector, a_collector
from tests.conditions import eventually
from tests.conftest import prefix, quirks
from tests.databases import execute
from tests.own_service import QUICK
from tests.proxy import Proxy, a_proxy
from tests.servers import Servers
from tests.service import Service, a_service

Json = dict[str, Any]

CANARY = "cAnArY"
CONTACT = {name: f"{CANARY} {name}" for name in ("name", "phone", "relationship")}
WISH = f"{CANARY} wish"
REASON = f"{CANARY} reason"
#: A party of so many breaks the engine: the database's complaint then quotes all that is personal.
POISONOUS = 77
POISON = f"""
CREATE FUNCTION complain() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'will not keep %', NEW.details USING ERRCODE = 'data_exception', DETAIL = NEW.details; END $$;
CREATE TRIGGER poison BEFORE INSERT ON reservations.reservations FOR EACH ROW WHEN (NEW.party_size = {POISONOUS})
EXECUTE FUNCTION complain()"""
PERSONAL = {"special_requirements": WISH, "emergency_contact": CONTACT}
BAD: dict[str, Json] = {
    "contact a text": {"emergency_contact": f"{CANARY} text"},
    "contact a list": {"emergency_contact": [CONTACT]},
    "name a list": {"emergency_contact": {**CONTACT, "name": [f"{CANARY} name"]}},
    "phone an object": {"emergency_contact": {**CONTACT, "phone": {"home": f"{CANARY} phone"}}},
    "relationship a number": {"emergency_contact": {**CONTACT, "relationship": 7}},
    "phone too long": {"emergency_contact": {**CONTACT, "phone": f"{CANARY} phone" * 10}},
    "wish a list": {"special_requirements": [WISH]},
    "wish too long": {"special_requirements": WISH * 100},
    "wish with NUL": {"special_requirements": f"{WISH}\0"},
    "unknown field": {"nickname": f"{CANARY} nickname"},
    "unknown part of the contact": {"emergency_contact": {**CONTACT, "mail": f"{CANARY} mail"}},
    "amount a text": {"total_amount": f"{CANARY} amount"},
    "guest a text": {"guest_id": f"{CANARY} guest"},
    "date a text": {"trip_date": f"{CANARY} day"},
    "role a text": {"participants": [{"guest_id": str(uuid4()), "role": f"{CANARY} role"}]},
    "clearance a text": {"participants": [{"guest_id": str(uuid4()), "medical_clearance": f"{CANARY} heart"}]},
    "too large": {"special_requirements": WISH * 10_000},
}


@pytest.fixture
async def away(database: str) -> AsyncIterator[Proxy]:
    """Give what stands before the test's database, which dislikes a certain party."""
    await execute(database, POISON)
    parts = urlsplit(database)
    async with a_proxy(parts.hostname or "", parts.port or 5432) as proxy:
        yield proxy
        await proxy.restore()


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    """Give a collector of the test's own."""
    async with a_collector() as made:
        yield made


@pytest.fixture
async def talkative(
    servers: Servers, database: str, away: Proxy, collector: Collector, tmp_path: Path
) -> AsyncIterator[Service]:
    """Give a service of the test's own that logs and traces all it can and reaches its database through a proxy."""
    settings = {**QUICK, "LOG_LEVEL": "debug", "CLOCK_INTERVAL_S": "0.3", **collector.settings(), **quirks(servers)}
    parts = urlsplit(database)
    login = parts.netloc.rpartition("@")[0]
    address = urlunsplit(parts._replace(netloc=f"{login}@{away.address}"))
    async with a_service(address, servers.kafka_bootstrap_servers, prefix(), tmp_path, settings) as service:
        await service.start("worker")
        await service.start("gateway")
        yield service


def a_personal_booking(**changes: Any) -> Json:
    """Return the body of a booking with all that is personal, some of it changed."""
    return a_booking(**{**PERSONAL, **changes})


class Answers:
    """Asks a service, and keeps the bodies and headers of all errors."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.errors: list[str] = []

    async def ask(self, method: str, path: str, expected: int, **options: Any) -> Any:
        """Send a request that is to be answered so; return the body."""
        status, body, headers = await self._service.ask(method, path, **options)
        assert status == expected, body
        if status >= 400:
            self.errors.append(f"{json.dumps(body)} {dict(headers)}")
        return body


async def good_and_bad_requests(answers: Answers) -> None:
    """Make, change and cancel bookings, and try so in vain."""
    for name, bad in BAD.items():
        await answers.ask("POST", "/reservations", 413 if name == "too large" else 400, json=a_personal_booking(**bad))
    for raw in (f'{{"special_requirements": "{WISH}', f'["{WISH}"]', f'{{"special_requirements": "\\ud800{WISH}"}}'):
        await answers.ask("POST", "/reservations", 400, data=raw, headers={"Content-Type": "application/json"})
    await answers.ask("POST", "/reservations", 415, data=f"wish={WISH}")
    made = await answers.ask("POST", "/reservations", 201, json=a_personal_booking())
    path = f"/reservations/{made['id']}"
    await answers.ask("GET", f"/reservations?guest_id={made['guest_id']}", 200)
    await answers.ask("PATCH", path, 200, json={"special_requirements": f"{WISH} new", "_rev": 1})
    await answers.ask("PATCH", path, 409, json={**PERSONAL, "_rev": 1})
    await answers.ask("PATCH", path, 400, json={**BAD["name a list"], "_rev": 2})
    await answers.ask("PATCH", path, 400, json={"confirmation_code": f"{CANARY} code", "_rev": 2})
    move = {"target_status": "CHECKED_IN", "_rev": 2, "reason": REASON}
    await answers.ask("PUT", f"{path}/status", 400, json={**move, "reason": REASON * 100})
    await answers.ask("PUT", f"{path}/status", 400, json={**move, "target_status": f"{CANARY} status"})
    await answers.ask("PUT", f"{path}/status", 200, json=move)
    await answers.ask("PUT", f"{path}/status", 409, json={**move, "_rev": 3})
    await answers.ask("DELETE", f"{path}?reason={CANARY}", 400)
    await answers.ask("POST", f"{path}/participants", 400, json={"guest_id": f"{CANARY} guest"})
    overlapping = {"guest_id": made["guest_id"], "trip_date": made["trip_date"]}
    await answers.ask("POST", "/reservations", 409, json=a_personal_booking(**overlapping))


async def a_used_key(answers: Answers) -> None:
    """Use an idempotency key for another request."""
    headers = {"Idempotency-Key": str(uuid4())}
    await answers.ask("POST", "/reservations", 201, json=a_personal_booking(), headers=headers)
    other = a_personal_booking(special_requirements=f"{WISH} other")
    await answers.ask("POST", "/reservations", 422, json=other, headers=headers)


async def dead_letters(service: Service, answers: Answers) -> int:
    """Send what can't be read, what is no command, and what breaks the engine; return how many dead letters that is."""
    raw = [b"nonsense " + WISH.encode(), b'"' + WISH.encode(), encoded(a_creation())[:-5], b"\xff" + WISH.encode()]
    for value in raw:
        await service.send(value, b"same", headers=[a_trace()])
    misfits = [a_creation(**bad) for bad in BAD.values()]
    results = await perform(service, *misfits, a_creation(party_size=POISONOUS))
    assert {each["outcome"] for each in results} == {"dead_lettered"}
    await answers.ask("POST", "/reservations", 500, json=a_personal_booking(party_size=POISONOUS))
    return len(raw) + len(results) + 1


def a_creation(**changes: Any) -> Json:
    """Return a command that makes a booking with all that is personal, some of it changed."""
    return a_command("reservation.create", a_personal_booking(**changes), reservation_id=new_reservation_id())


async def an_outage(service: Service, database: Proxy, answers: Answers) -> None:
    """Send a command while the database is away, and read in vain; wait until all is well again."""
    creation = a_creation()
    await database.cut()
    await send_commands(service, creation)
    await answers.ask("GET", f"/reservations/{creation['reservation_id']}", 503)
    await database.restore()

    async def is_there() -> bool:
        return (await service.ask("GET", f"/reservations/{creation['reservation_id']}"))[0] == 200

    await eventually(is_there, limit_s=40)


def headers_of(records: Sequence[ConsumerRecord]) -> list[str]:
    """Return the headers of messages."""
    return [
        f"{name}: {(value or b'').decode(errors='replace')}" for record in records for name, value in record.headers
    ]


def with_canary(texts: Sequence[str]) -> list[str]:
    """Return the texts that hold something personal."""
    return [text for text in texts if CANARY.lower() in text.lower()]


def is_object(record: ConsumerRecord) -> bool:
    """Tell whether a message is a JSON object."""
    try:
        return isinstance(json.loads(record.value), dict)
    except ValueError:
        return False


async def test_what_is_personal_is_nowhere_but_in_the_tables_and_messages(
    talkative: Service, away: Proxy, collector: Collector
) -> None:
    service, answers = talkative, Answers(talkative)
    await good_and_bad_requests(answers)
    await a_used_key(answers)
    expected = await dead_letters(service, answers)
    await an_outage(service, away, answers)
    messages = {topic.name: await service.read(topic.name) for topic in TOPICS}
    letters = messages[DEAD_LETTERS.name]
    assert len(letters) == expected
    # It did come in, and is where it belongs.
    assert any(CANARY.encode() in (each.value or b"") for each in messages[COMMANDS.name])
    assert all(CANARY.encode() in each.value for each in letters)

    assert with_canary(answers.errors) == []
    assert len(answers.errors) > len(BAD) + 10
    headers = headers_of([record for records in messages.values() for record in records])
    assert len([each for each in headers if each.startswith("dead-letter-reason: ")]) == expected
    assert len([each for each in headers if each.startswith("traceparent: ")]) > expected
    assert with_canary(headers) == []
    refused = [each.value.decode() for each in messages[RESULTS.name] if b'"error":{' in each.value]
    assert len(refused) > len(BAD)
    assert with_canary(refused) == []
    metrics = [(await service.ask("GET", f"{process.url()}/metrics"))[1] for process in service.processes]
    assert all("reservations_" in each for each in metrics)
    assert with_canary(metrics) == []
    lines = [line for process in service.processes for line in process.raw_lines()]
    assert any("DataError (22000)" in line for line in lines)
    assert with_canary(lines) == []
    await asyncio.gather(*(process.stop() for process in service.processes))  # what they still have to tell, they tell
    assert {span.service for span in collector.spans} == {"svc-reservations-gateway", "svc-reservations-worker"}
    assert any(span.attributes.get("db.response.status_code") == "22000" for span in collector.spans)
    spans = [body.decode("utf-8", "replace") for body in collector.bodies]
    assert with_canary(spans) == []
    guests = {json.loads(each.value)["payload"].get("guest_id") for each in messages[COMMANDS.name] if is_object(each)}
    assert len(guests) > len(BAD)
    assert [text for text in spans for guest in guests if guest and guest in text] == []
