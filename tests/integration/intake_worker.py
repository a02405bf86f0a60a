"""A worker for tests to start, kill and stop: it notes in a file what it applied, one line per message.

Arguments: bootstrap servers, group, topic, file, behaviour (`retry`, `raise-at:OFFSET`,
`raise-in-the-rest-at:OFFSET`, `stick-at:OFFSET` or `lose-log`).
"""

import asyncio
import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop
from faust.types import TP

from reservations.agents.intake import Apply, Delivery, IntakeApp, Rest, consume, make_app
from reservations.agents.process import run

STOP_DEADLINE_S = 2.0


class Applying:
    """Append `partition offset value` for every message applied; the operating system keeps it through a kill -9."""

    def __init__(self, app: IntakeApp, path: Path) -> None:
        self._app = app
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    def note(self, messages: Sequence[Delivery]) -> None:
        lines = (f"{m.partition} {m.offset} {(m.value or b'').decode()}\n" for m in messages)
        os.write(self._file, "".join(lines).encode())

    async def retry(self, messages: Sequence[Delivery]) -> None:
        """Take a few milliseconds, and fail now and then before it works."""
        for _ in iter(lambda: random.random() < 0.9, True):  # noqa: S311 - a fault, not a secret
            await asyncio.sleep(0.002)
        await asyncio.sleep(0.001)
        self.note(messages)

    def raise_at(self, offset: int) -> Apply:
        async def apply(messages: Sequence[Delivery]) -> None:
            if any(message.offset == offset for message in messages):
                raise RuntimeError("this batch can't be applied")
            self.note(messages)

        return apply

    def raise_in_the_rest_at(self, offset: int) -> Apply:
        """Note what was applied as the rest of a batch, which fails once."""

        async def apply(messages: Sequence[Delivery]) -> Rest:
            async def rest() -> None:
                if any(message.offset == offset for message in messages):
                    raise RuntimeError("the rest of this batch can't be done")
                self.note(messages)

            return rest

        return apply

    def stick_at(self, offset: int) -> Apply:
        async def apply(messages: Sequence[Delivery]) -> None:
            self.note(messages)
            if any(message.offset == offset for message in messages):
                await asyncio.Event().wait()

        return apply

    async def lose_log(self, messages: Sequence[Delivery]) -> None:
        """Make what comes next look like the start of a new log, shorter than the one read so far."""
        self.note(messages)
        for message in messages:
            self._app.consumer._read_offset[TP(message.topic, message.partition)] = 1_000_000

    def behaving(self, behaviour: str) -> Apply:
        kind, _, offset = behaviour.partition(":")
        if kind == "raise-at":
            return self.raise_at(int(offset))
        if kind == "raise-in-the-rest-at":
            return self.raise_in_the_rest_at(int(offset))
        if kind == "stick-at":
            return self.stick_at(int(offset))
        return self.lose_log if kind == "lose-log" else self.retry


async def work(bootstrap_servers: str, group: str, topic: str, path: str, behaviour: str) -> int:
    app = make_app(group, bootstrap_servers=bootstrap_servers, session_timeout_s=2, rebalance_timeout_s=1)
    fatal: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    consume(app, topic, Applying(app, Path(path)).behaving(behaviour), fatal, max_batch_size=50)
    return await run(app, fatal, stopping=asyncio.Event(), stop_deadline_s=STOP_DEADLINE_S)


async def main() -> None:
    os._exit(await work(*sys.argv[1:]))


if __name__ == "__main__":
    uvloop.run(main())
