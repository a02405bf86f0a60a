"""The least that can read a reservation over HTTP: one route, the gateway's own statement, and nothing else."""

import asyncio
import os
import signal
import sys
from uuid import UUID

import orjson
from aiohttp import web

from reservations.http.rendering import reservation_shown
from reservations.tables import database
from reservations.tables.database import PoolLimits
from reservations.tables.reservations import find


async def run(connections: int) -> None:
    """Serve until a signal comes; say the address first, as the gateway does."""
    limits = PoolLimits("bare", connections, connections, 600.0, 10.0)
    async with database.pool_of(os.environ["DATABASE_URL"], database.READER, limits) as pool:

        async def read(request: web.Request) -> web.Response:
            async with pool.acquire() as connection:
                row = await find(connection, UUID(request.match_info["reservation_id"]))
            if row is None:
                raise web.HTTPNotFound
            body = orjson.dumps(reservation_shown(row), option=orjson.OPT_UTC_Z)
            return web.Response(body=body, content_type="application/json")

        application = web.Application()
        application.add_routes([web.get("/reservations/{reservation_id}", read)])
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        stopping = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
        print(
            orjson.dumps({"event": "listening", "url": "http://{}:{}".format(*runner.addresses[0])}).decode(),
            flush=True,
        )
        await stopping.wait()
        await runner.cleanup()


if __name__ == "__main__":
    import uvloop

    uvloop.run(run(int(sys.argv[1])))
