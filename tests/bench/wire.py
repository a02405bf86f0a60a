"""HTTP/1.1 kept to what a load generator needs: one request at a time on each of many open connections."""

import asyncio
import re
from collections.abc import Callable
from urllib.parse import urlsplit

#: Told how a request ended: the status, 0 when the connection was lost.
Ended = Callable[[int], None]

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
_HEAD_END = b"\r\n\r\n"


class Connection(asyncio.Protocol):
    """A connection that carries one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._ended: Ended | None = None
        self._received = b""

    @property
    def is_open(self) -> bool:
        """Whether a request can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, request: bytes, ended: Ended) -> None:
        """Send a request; `ended` is told once."""
        assert self._transport, "it is not open"
        assert self._ended is None, "one request at a time"
        self._ended, self._received = ended, b""
        self._transport.write(request)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Look whether the response is whole."""
        self._received += data
        head, found, body = self._received.partition(_HEAD_END)
        length = _LENGTH.search(head) if found else None
        if found and len(body) >= (int(length[1]) if length else 0):
            self._end(int(head[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        """End the request that is under way."""
        self._transport = None
        self._end(0)

    def close(self) -> None:
        """Close it."""
        if self._transport:
            self._transport.close()

    def _end(self, status: int) -> None:
        ended, self._ended = self._ended, None
        if ended:
            ended(status)


async def connect(url: str) -> Connection:
    """Return an open connection to the server of an address."""
    place = urlsplit(url)
    assert place.hostname
    assert place.port
    _, connection = await asyncio.get_running_loop().create_connection(Connection, place.hostname, place.port)
    return connection


def request_of(method: str, path: str, body: bytes = b"") -> bytes:
    """Return the bytes of a request, its body JSON."""
    head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + _HEAD_END + body
