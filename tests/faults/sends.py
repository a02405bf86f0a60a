"""Messages on their way to the broker, noted when they are sent and when they are accepted."""

import asyncio
import json
from typing import Any

from aiokafka import AIOKafkaProducer

from tests.bookings import key_of, message_id
from tests.faults.chance import Json
from tests.faults.deployment import BULK, COMMANDS, PAYMENTS
from tests.faults.journal import Journal

LANE_NAMES = {COMMANDS: "commands", BULK: "bulk", PAYMENTS: "payments"}
#: What a dead letter must bring back; checks.sql knows them.
POISON_HEADERS = [("made-by", b"\x00faults\xff"), ("empty", b"")]

Headers = list[tuple[str, bytes]]


class Sends:
    """Sends over one producer that waits for all in-sync replicas."""

    def __init__(self, kafka: str, prefix: str, journal: Journal) -> None:
        self._producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all", enable_idempotence=True)
        self._prefix = prefix
        self._journal = journal
        self._open: set[asyncio.Future[Any]] = set()

    async def start(self) -> None:
        """Connect."""
        await self._producer.start()

    async def stop(self) -> None:
        """Wait until the broker has accepted or lost every message, and disconnect."""
        while self._open:
            await asyncio.wait(set(self._open))
        await self._producer.stop()

    async def message(self, topic: str, message: Json) -> None:
        """Send a command or a payment."""
        command_id = message_id(message)
        self._journal.note(
            "sent",
            command_id=command_id,
            lane=LANE_NAMES[topic],
            kind=message.get("type", "payment.record"),
            reservation_id=message.get("reservation_id"),
            expected_rev=message.get("expected_rev"),
            seats=message.get("payload", {}).get("party_size"),
        )
        value = json.dumps(message).encode()
        await self._send(topic, key_of(message), value, [], accepted={"what": "accepted", "command_id": command_id})

    async def poison(self, topic: str, key: bytes, value: bytes) -> None:
        """Send what is no command."""
        self._journal.note("poison", lane=LANE_NAMES[topic], key=key.hex(), value=value.hex())
        accepted = {"what": "poison_accepted", "value": value.hex()}
        await self._send(topic, key, value, POISON_HEADERS, accepted=accepted)

    async def _send(self, topic: str, key: bytes, value: bytes, headers: Headers, *, accepted: Json) -> None:
        def note(done: "asyncio.Future[Any]") -> None:
            self._open.discard(done)
            if not done.cancelled() and done.exception() is None:
                self._journal.note(**accepted)

        sent = asyncio.ensure_future(self._producer.send_and_wait(self._prefix + topic, value, key, headers=headers))
        self._open.add(sent)
        sent.add_done_callback(note)
        await asyncio.sleep(0)  # the messages go in the order of the calls
