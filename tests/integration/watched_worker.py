"""A worker that a watchdog watches, and that hangs in one way or another; see intake_worker.

Arguments: bootstrap servers, group, topic, file, the watchdog's seconds, behaviour (`retry`, `stick-at:OFFSET`,
`stick-in-the-rest-at:OFFSET`, `block-at:OFFSET` or `go-deaf-at:OFFSET`).
"""

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import uvloop

from reservations.agents import watching
from reservations.agents.guard import LoopGuard
from reservations.agents.intake import Apply, Delivery, Rest, consume, make_app
from reservations.agents.process import run
from reservations.agents.watchdog import Watchdog
from tests.integration.intake_worker import STOP_DEADLINE_S, Applying

SESSION_TIMEOUT_S = 6.0  # Apache Kafka takes no less


class Hanging(Applying):
    """Apply messages until one that it hangs at."""

    def stick_in_the_rest_at(self, offset: int) -> Apply:
        async def apply(messages: Sequence[Delivery]) -> Rest:
            self.note(messages)

            async def never_done() -> None:
                if any(message.offset == offset for message in messages):
                    await asyncio.Event().wait()

            return never_done

        return apply

    def block_at(self, offset: int) -> Apply:
        async def apply(messages: Sequence[Delivery]) -> None:
            self.note(messages)
            if any(message.offset == offset for message in messages):
                time.sleep(3600)  # noqa: ASYNC251 - the fault

        return apply

    def go_deaf_at(self, offset: int) -> Apply:
        """Never return from a poll after this offset."""

        async def deaf(*_: object, **__: object) -> None:
            await asyncio.Event().wait()

        async def apply(messages: Sequence[Delivery]) -> None:
            self.note(messages)
            if any(message.offset == offset for message in messages):
                self._app.consumer._getmany = deaf

        return apply

    def behaving(self, behaviour: str) -> Apply:
        kind, _, offset = behaviour.partition(":")
        ways = {
            "stick-in-the-rest-at": self.stick_in_the_rest_at,
            "block-at": self.block_at,
            "go-deaf-at": self.go_deaf_at,
        }
        return ways[kind](int(offset)) if kind in ways else super().behaving(behaviour)


async def main(bootstrap_servers: str, group: str, topic: str, path: str, *how: str) -> None:
    limit_s, behaviour = float(how[0]), how[1]
    app = make_app(
        group, bootstrap_servers=bootstrap_servers, session_timeout_s=SESSION_TIMEOUT_S, rebalance_timeout_s=1
    )
    fatal: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    lane = consume(app, topic, Hanging(app, Path(path)).behaving(behaviour), fatal, max_batch_size=50)
    LoopGuard(limit_s).start()
    lanes = {topic: (lane, lambda: 0)}
    watch = watching.start(app, lanes, fatal, Watchdog(limit_s), watching.Peeker(bootstrap_servers))
    code = await run(app, fatal, stopping=asyncio.Event(), stop_deadline_s=STOP_DEADLINE_S)
    watch.cancel()
    os._exit(code)


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
