"""A TCP proxy that fails as networks do: it forwards, delays, holds back one way or both, resets, or refuses."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from enum import StrEnum

CHUNK_BYTES = 64 * 1024


class Way(StrEnum):
    """Which way bytes go."""

    TO_SERVER = "to the server"
    TO_CLIENT = "to the client"


#: Looks at what a client sends; says whether to reset the connection, once that is forwarded or before.
Scissors = Callable[[bytes], "Snip | None"]


class Snip(StrEnum):
    """When a connection is reset: before what was seen reaches the server, or right after."""

    BEFORE = "before"
    AFTER = "after"


class Proxy:
    """Listens on loopback and forwards to a server, as long as it is let."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._target = (host, port)
        self._accepting: asyncio.Task[None] | None = None
        self._refusing = asyncio.Event()
        self._flowing = {way: asyncio.Event() for way in Way}
        for flowing in self._flowing.values():
            flowing.set()
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.latency_s = 0.0
        self.scissors: Scissors | None = None
        self.resets = 0

    @property
    def address(self) -> str:
        """Return where it listens, as host:port."""
        return f"127.0.0.1:{self.port}"

    def forward_to(self, address: str) -> None:
        """Forward new connections to this `host:port`."""
        host, _, port = address.rpartition(":")
        self._target = (host, int(port))

    async def listen(self) -> None:
        """Accept connections, on the same port each time."""
        listener = socket.create_server(("127.0.0.1", self.port))
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        self._refusing = asyncio.Event()
        self._accepting = asyncio.create_task(self._accept(listener, self._refusing))

    async def cut(self) -> None:
        """Reset every connection and refuse new ones."""
        if self._accepting:
            self._refusing.set()
            await self._accepting
            self._accepting = None
        self.reset()
        await asyncio.gather(*self._tasks)

    def reset(self) -> None:
        """Reset every connection; new ones are accepted."""
        for writer in tuple(self._open):
            writer.transport.abort()

    def stall(self, *ways: Way) -> None:
        """Forward nothing more these ways (both if none is named), on old connections and on new, accepted ones."""
        for way in ways or Way:
            self._flowing[way].clear()

    async def restore(self) -> None:
        """Forward again, at once: what was held back, too."""
        self.latency_s, self.scissors = 0.0, None
        for flowing in self._flowing.values():
            flowing.set()
        if self._accepting is None:
            await self.listen()

    async def _accept(self, listener: socket.socket, refusing: asyncio.Event) -> None:
        """Accept until told otherwise; asyncio's own server leaks a connection that comes just when it is closed."""
        ended = asyncio.ensure_future(refusing.wait())
        with listener:
            while not ended.done():
                accepted = asyncio.ensure_future(asyncio.get_running_loop().sock_accept(listener))
                await asyncio.wait({accepted, ended}, return_when=asyncio.FIRST_COMPLETED)
                if accepted.done():
                    self._begin(accepted.result()[0], refusing)
                else:
                    accepted.cancel()

    def _begin(self, client: socket.socket, refusing: asyncio.Event) -> None:
        task = asyncio.create_task(self._connect(client, refusing))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, client: socket.socket, refusing: asyncio.Event) -> None:
        reader, writer = await asyncio.open_connection(sock=client)
        if refusing.is_set():
            writer.transport.abort()
            return
        self._open.add(writer)
        try:
            target_reader, target_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            self._open.discard(writer)
            return
        self._open.add(target_writer)
        await asyncio.gather(
            self._serve(reader, writer, target_writer), self._pump(Way.TO_CLIENT, target_reader, writer)
        )

    async def _serve(
        self, reader: asyncio.StreamReader, client: asyncio.StreamWriter, server: asyncio.StreamWriter
    ) -> None:
        """Forward what a client sends, and reset the connection where the scissors say so."""

        def look(chunk: bytes) -> Snip | None:
            snip = self.scissors(chunk) if self.scissors else None
            if snip:
                self.resets += 1
                client.transport.abort()
            return snip

        await self._pump(Way.TO_SERVER, reader, server, look)

    async def _pump(
        self,
        way: Way,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        look: Scissors = lambda _: None,
    ) -> None:
        """Forward one way until either side ends; then end the other one's side, too."""
        snip = None
        with suppress(OSError, RuntimeError):  # uvloop says so of a connection that was reset
            while not snip and (chunk := await reader.read(CHUNK_BYTES)):
                await self._until_flowing(way, writer)
                snip = look(chunk)
                if snip is not Snip.BEFORE:
                    writer.write(chunk)
                    await writer.drain()
        await self._until_flowing(way, writer)
        self._open.discard(writer)
        if snip is Snip.AFTER:
            writer.close()  # what was written arrives, unlike the answer to it
        else:
            writer.transport.abort()

    async def _until_flowing(self, way: Way, writer: asyncio.StreamWriter) -> None:
        if self.latency_s:
            await asyncio.sleep(self.latency_s)
        flowing = self._flowing[way]
        while not (flowing.is_set() or writer.is_closing()):
            await asyncio.wait([asyncio.ensure_future(flowing.wait())], timeout=0.05)


@asynccontextmanager
async def a_proxy(host: str, port: int) -> AsyncIterator[Proxy]:
    """Give a proxy to a server; cut it in the end."""
    proxy = Proxy(host, port)
    await proxy.listen()
    try:
        yield proxy
    finally:
        await proxy.cut()
