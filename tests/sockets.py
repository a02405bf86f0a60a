"""Clients that do not behave: plain sockets that send what they like, as slowly as they like."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

LIMIT_S = 20


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """Return the body of an error."""
        found: dict[str, Any] = json.loads(self.body)
        return found


class Client:
    """One connection, by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._writer.write(data)

    async def drip(self, data: bytes, every_s: float) -> None:
        """Send one byte at a time, until the other side is gone or all is sent."""
        for byte in data:
            if self._reader.at_eof() or self._writer.is_closing():
                return
            self.send(bytes([byte]))
            await asyncio.sleep(every_s)

    async def answer(self) -> Answer:
        """Read one answer."""
        async with asyncio.timeout(LIMIT_S):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
            lines = head.split("\r\n")
            headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines[1:] if line)}
            return Answer(
                int(lines[0].split()[1]),
                headers,
                await self._reader.readexactly(int(headers.get("content-length", "0"))),
            )

    async def ended_after(self, limit_s: float = LIMIT_S) -> float:
        """Read on until the other side has closed; return the seconds that it took."""
        begun = monotonic()
        async with asyncio.timeout(limit_s):
            try:
                while await self._reader.read(65536):
                    pass
            except ConnectionError:
                pass
        return monotonic() - begun

    def close(self) -> None:
        """Close at once."""
        self._writer.transport.abort()


async def connect(url: str) -> Client:
    """Open a connection."""
    parts = urlsplit(url)
    return Client(*await asyncio.open_connection(parts.hostname, parts.port))


@asynccontextmanager
async def a_client(url: str) -> AsyncIterator[Client]:
    """Give a connection."""
    client = await connect(url)
    try:
        yield client
    finally:
        client.close()
