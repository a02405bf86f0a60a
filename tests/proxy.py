"""A TCP proxy that fails as networks do: it forwards, cuts every connection, or lets them hang."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

CHUNK_BYTES = 64 * 1024


class Proxy:
    """Listens on loopback and forwards to a server, as long as it is let."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def address(self) -> str:
        """Return where it listens, as host:port."""
        return f"127.0.0.1:{self.port}"

    async def listen(self) -> None:
        """Accept connections, on the same port each time."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Reset every connection and refuse new ones."""
        if self._server:
            self._server.close()
            self._server = None
        for writer in tuple(self._open):
            writer.transport.abort()
        await asyncio.gather(*self._tasks)

    def stall(self) -> None:
        """Forward nothing more, neither on old connections nor on new ones, which are accepted."""
        self._flowing.clear()

    async def restore(self) -> None:
        """Forward again: what was held back, too."""
        self._flowing.set()
        if self._server is None:
            await self.listen()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._connect(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            target_reader, target_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            self._open.discard(writer)
            return
        self._open.add(target_writer)
        await asyncio.gather(self._pump(reader, target_writer), self._pump(target_reader, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one way until either side ends; then end the other one's side, too."""
        with suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                await self._until_flowing(writer)
                writer.write(chunk)
                await writer.drain()
        await self._until_flowing(writer)
        self._open.discard(writer)
        writer.transport.abort()

    async def _until_flowing(self, writer: asyncio.StreamWriter) -> None:
        while not (self._flowing.is_set() or writer.is_closing()):
            await asyncio.wait([asyncio.ensure_future(self._flowing.wait())], timeout=0.05)


@asynccontextmanager
async def a_proxy(host: str, port: int) -> AsyncIterator[Proxy]:
    """Give a proxy to a server; cut it in the end."""
    proxy = Proxy(host, port)
    await proxy.listen()
    try:
        yield proxy
    finally:
        await proxy.cut()
