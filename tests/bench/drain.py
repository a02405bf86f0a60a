"""How fast one worker empties a full command topic, with durable commits: `python -m tests.bench.drain [COMMANDS]`."""

import asyncio
import json
import shutil
import sys
import tempfile
from pathlib import Path
from time import monotonic
from uuid import uuid4

import asyncpg

from reservations.app.stack import broker, postgres
from reservations.app.stack.home import Home
from reservations.migrations.runner import migrate
from tests.bookings import a_booking, a_command, encoded
from tests.conditions import eventually
from tests.servers import apart, running
from tests.service import Service, a_service

SLOTS = 1_000
WATCHED_EVERY_S = 0.05


async def fill(service: Service, commands: int) -> None:
    """Put creates of about 1 KB, two participants each, on the command topic."""
    trips = [str(uuid4()) for _ in range(SLOTS)]
    sent = []
    for number in range(commands):
        payload = a_booking(
            trip_id=trips[number % SLOTS],
            participants=[{"guest_id": str(uuid4()), "role": "PRIMARY"}, {"guest_id": str(uuid4())}],
            party_size=2,
            special_requirements="x" * 300,
            emergency_contact={"name": "Sam Rivera", "phone": "+1 555 0100", "relationship": "sister"},
        )
        command = a_command("reservation.create", payload)
        sent.append(
            await service.producer.send(
                f"{service.topic_prefix}novatrek.booking.reservation.commands",
                encoded(command),
                command["command_id"].encode(),
            )
        )
    await asyncio.gather(*sent)


async def drain(service: Service, commands: int) -> float:
    """Start a worker on the full topic; return the commands it applies in a second."""
    connection = await asyncpg.connect(service.database_url)
    seen: list[tuple[float, int]] = []

    async def done() -> bool:
        count = await connection.fetchval("SELECT count(*) FROM reservations.inbox")
        seen.append((monotonic(), count))
        return bool(count >= commands)

    worker = service.launch("worker")
    await eventually(done, limit_s=300, every_s=WATCHED_EVERY_S)
    await connection.close()
    await worker.stop()
    begun, first = next((at, count) for at, count in seen if count)
    ended, last = seen[-1]
    return (last - first) / (ended - begun)


async def measure(database_url: str, kafka: str, folder: Path, commands: int) -> dict[str, float]:
    """Return the figures of one run."""
    await migrate(database_url)
    settings = {"KAFKA_ENABLE_IDEMPOTENCE": "false", "KAFKA_PARTITIONS": "12", "LOG_LEVEL": "warning"}
    async with a_service(database_url, kafka, "", folder, settings) as service:
        begun = monotonic()
        await fill(service, commands)
        filled = monotonic() - begun
        return {
            "commands": commands,
            "filled_s": round(filled, 1),
            "applied_per_s": round(await drain(service, commands)),
        }


def main(commands: int) -> None:
    """Run once and print the figures as JSON."""
    folder = Path(tempfile.mkdtemp(prefix="drain-"))
    home = Home(folder / "home")
    database, kafka = apart(postgres.prepare(home)), broker.prepare(home)
    try:
        with running(database.program, database.is_ready), running(kafka.program, kafka.is_ready):
            print(json.dumps(asyncio.run(measure(database.dsn, kafka.address, folder, commands))))
    finally:
        shutil.rmtree(database.data.parent, ignore_errors=True)
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
