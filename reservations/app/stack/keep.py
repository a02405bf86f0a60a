"""Keep one process of the service running, where nothing else starts it again."""

import asyncio
import os

import structlog

from reservations.app import logs
from reservations.app.settings import Settings
from reservations.app.stack.programs import Program
from reservations.app.stack.supervisor import Supervisor
from reservations.app.stack.up import service, stopping_on

#: What a process may need to close its connections, after its deadline for stopping.
CLOSING_LIMIT_S = 7.0


async def keep(name: str, settings: Settings) -> None:
    """Run `worker` or `gateway`, and start it again when it ends by itself, until SIGTERM, SIGINT or SIGHUP.

    Then it is stopped in its own time. It writes to where this process writes.
    """
    logs.configure("keeper", settings.log_level)
    stop = asyncio.Event()
    with stopping_on(stop):
        supervisor = Supervisor(lambda line: structlog.get_logger().warning("restart", message=line))
        limit_s = settings.stop_deadline_s + CLOSING_LIMIT_S
        supervisor.keep(Program(name, service(name), dict(os.environ), inherits=True, stop_limit_s=limit_s))
        await stop.wait()
        await supervisor.stop()
