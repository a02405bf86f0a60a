"""A backlog in the bulk lane that lasts: topped up as the worker empties it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import uuid4

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from reservations.models.topics import BULK_COMMANDS
from tests.bookings import a_booking, a_command, encoded
from tests.conditions import eventually
from tests.service import Service

TRIP_DATES = 1_000
CHECKED_EVERY_S = 0.1
FILL_LIMIT_S = 60
EMPTY_LIMIT_S = 120


class Commands:
    """Makes creates of about 1 KB cheaply: the same JSON with other ids in it."""

    def __init__(self) -> None:
        self._trips = [str(uuid4()) for _ in range(TRIP_DATES)]
        self._made = 0
        payload = a_booking(
            guest_id="{guest}",
            trip_id="{trip}",
            participants=[{"guest_id": "{guest}", "role": "PRIMARY"}, {"guest_id": "{other}", "role": "COMPANION"}],
            party_size=2,
            special_requirements="x" * 400,
            emergency_contact={"name": "Sam Rivera", "phone": "+1 555 0100", "relationship": "sister"},
        )
        self._template = encoded(a_command("reservation.create", payload, command_id="{id}")).decode()

    def one(self) -> tuple[bytes, bytes]:
        """Return the value and the key of one more command."""
        self._made += 1
        command_id = str(uuid4())
        trip = self._trips[self._made % TRIP_DATES]
        ids = {"{id}": command_id, "{trip}": trip, "{guest}": str(uuid4()), "{other}": str(uuid4())}
        command = self._template
        for name, value in ids.items():
            command = command.replace(name, value)
        return command.encode(), command_id.encode()


@dataclass(slots=True)
class Backlog:
    """Commands in the bulk lane; `waiting` holds how many were not committed yet, each time that was looked at."""

    service: Service
    wanted: int
    admin: AIOKafkaAdminClient
    partitions: list[TopicPartition]
    sent: int = 0
    is_kept: bool = True
    waiting: list[int] = field(default_factory=list)
    commands: Commands = field(default_factory=Commands)

    async def keep(self) -> None:
        """Top it up until it is to be kept no more."""
        while self.is_kept:
            await self.top_up()
            await asyncio.sleep(CHECKED_EVERY_S)

    async def top_up(self) -> bool:
        """Send what lacks, and tell whether it was little."""
        lacking = self.wanted - await self.look()
        await self._send(max(0, lacking))
        return lacking < self.wanted / 10

    async def is_gone(self) -> bool:
        """Tell whether nothing waits."""
        return await self.look() == 0

    async def look(self) -> int:
        """Return how many wait: what the group has not committed. That is at most half a second old."""
        group = self.service.topic_prefix + "svc-reservations"
        offsets = await self.admin.list_consumer_group_offsets(group, partitions=self.partitions)
        committed = sum(max(0, each.offset) for each in offsets.values())
        self.waiting.append(self.sent - committed)
        return self.waiting[-1]

    async def _send(self, count: int) -> None:
        topic = self.partitions[0].topic
        for _ in range(0, count, 100):
            acks = [await self.service.producer.send(topic, *self.commands.one()) for _ in range(min(count, 100))]
            await asyncio.gather(*acks)
            count -= len(acks)
            self.sent += len(acks)


@asynccontextmanager
async def a_backlog(service: Service, wanted: int) -> AsyncIterator[Backlog]:
    """Give a backlog that is full, and kept full until the block ends; then wait until it is gone."""
    topic = service.topic_prefix + BULK_COMMANDS.name
    admin = AIOKafkaAdminClient(bootstrap_servers=service.kafka)
    await admin.start()
    partitions = [TopicPartition(topic, number) for number in await service.producer.partitions_for(topic)]
    backlog = Backlog(service, wanted, admin, partitions)
    backlog.sent = -await backlog.look()  # all that earlier ones sent is committed
    await eventually(backlog.top_up, limit_s=FILL_LIMIT_S)
    backlog.waiting.clear()
    keeping = asyncio.create_task(backlog.keep())
    try:
        yield backlog
    finally:
        backlog.is_kept = False
        await keeping
        waited = backlog.waiting.copy()
        await eventually(backlog.is_gone, limit_s=EMPTY_LIMIT_S)
        backlog.waiting = waited
        await admin.close()
