"""An HTTP client that costs little: GET over connections that stay open, timed."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from time import perf_counter
from urllib.parse import urlsplit

HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length: "


class Caller:
    """One connection to a server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def get(self, path: str) -> tuple[int, bytes]:
        """Return status and body."""
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
        head = (await self._reader.readuntil(HEAD_END)).lower()
        _, found, rest = head.partition(LENGTH)
        length = int(rest.partition(b"\r\n")[0]) if found else 0
        return int(head[9:12]), await self._reader.readexactly(length)

    async def timed(self, path: str) -> float:
        """Return the seconds that a request took; it must be answered with 200."""
        begun = perf_counter()
        status, body = await self.get(path)
        took_s = perf_counter() - begun
        assert status == 200, (path, status, body)
        return took_s

    async def close(self) -> None:
        """Close the connection."""
        self._writer.close()
        await self._writer.wait_closed()


@asynccontextmanager
async def callers(url: str, connections: int) -> AsyncIterator[Sequence[Caller]]:
    """Give connections to a server."""
    parts = urlsplit(url)
    pairs = [await asyncio.open_connection(parts.hostname, parts.port) for _ in range(connections)]
    made = [Caller(*pair) for pair in pairs]
    try:
        yield made
    finally:
        await asyncio.gather(*(caller.close() for caller in made))


async def share(made: Sequence[Caller], paths: Iterable[str]) -> list[float]:
    """Let callers share requests, each taking the next one when it is done; return the seconds of each."""
    waiting = iter(paths)

    async def work(caller: Caller) -> list[float]:
        return [await caller.timed(path) for path in waiting]

    return [took_s for each in await asyncio.gather(*map(work, made)) for took_s in each]
