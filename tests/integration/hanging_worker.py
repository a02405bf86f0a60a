"""A worker for tests whose every attempt to apply a batch hangs."""

import asyncio
import sys
from collections.abc import Sequence

from reservations.agents.engine import Engine
from reservations.app import cli, worker
from reservations.models.commands import AnyCommand
from reservations.models.worksheet import Outcome


class HangingEngine(Engine):
    """An engine that never comes to an end."""

    async def apply(self, commands: Sequence[AnyCommand]) -> list[Outcome]:
        """Hang."""
        await asyncio.Event().wait()
        return await super().apply(commands)


if __name__ == "__main__":
    worker.Engine = HangingEngine  # type: ignore[attr-defined]
    sys.argv = ["reservations", "worker"]
    cli.main()
