"""The proxy of the tests does to connections what it says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic

import pytest

from tests.conditions import eventually
from tests.proxy import Proxy, Snip, Way, a_proxy

LIMIT_S = 2.0
MOMENT_S = 0.1

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Echo:
    """A server that remembers what it is sent, and sends it back."""

    heard: bytearray = field(default_factory=bytearray)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        try:
            while chunk := await reader.read(1024):
                self.heard += chunk
                writer.write(chunk)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    """Give a server that runs."""
    made = Echo()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[Proxy]:
    """Give a proxy to the server."""
    async with a_proxy("127.0.0.1", echo.port) as made:
        yield made


@asynccontextmanager
async def connected(proxy: Proxy) -> AsyncIterator[Streams]:
    """Give a connection through the proxy."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def ask(streams: Streams, text: bytes) -> bytes:
    """Send something; return as much of what comes back, within the limit."""
    reader, writer = streams
    writer.write(text)
    return await asyncio.wait_for(reader.readexactly(len(text)), LIMIT_S)


async def gets_nothing(streams: Streams) -> bool:
    """Tell whether a moment passes in which nothing comes back."""
    try:
        await asyncio.wait_for(streams[0].read(1), MOMENT_S)
    except TimeoutError:
        return True
    return False


async def is_reset(streams: Streams) -> bool:
    """Tell whether the connection ends without an answer."""
    try:
        return await asyncio.wait_for(streams[0].read(1), LIMIT_S) == b""
    except ConnectionResetError:
        return True


async def until_heard(echo: Echo, text: bytes) -> None:
    """Wait until the server has heard exactly this."""

    async def look() -> bool:
        return bytes(echo.heard) == text

    await eventually(look, limit_s=LIMIT_S)


async def test_it_forwards_both_ways(proxy: Proxy, echo: Echo) -> None:
    async with connected(proxy) as streams:
        assert await ask(streams, b"hello") == b"hello"
    assert echo.heard == b"hello"


async def test_latency_delays_each_way(proxy: Proxy) -> None:
    async with connected(proxy) as streams:
        await ask(streams, b"at once")
        proxy.latency_s = MOMENT_S
        sent_at = monotonic()
        assert await ask(streams, b"later") == b"later"
        assert monotonic() - sent_at >= 2 * MOMENT_S


async def test_a_stall_to_the_server_holds_back_what_is_sent_until_it_is_restored(proxy: Proxy, echo: Echo) -> None:
    async with connected(proxy) as streams:
        await ask(streams, b"before ")
        proxy.stall(Way.TO_SERVER)
        streams[1].write(b"held back")
        assert await gets_nothing(streams)
        assert echo.heard == b"before "
        await proxy.restore()
        assert await asyncio.wait_for(streams[0].readexactly(9), LIMIT_S) == b"held back"


async def test_a_stall_to_the_client_holds_back_the_answers_only(proxy: Proxy, echo: Echo) -> None:
    async with connected(proxy) as streams:
        proxy.stall(Way.TO_CLIENT)
        streams[1].write(b"asked")
        await until_heard(echo, b"asked")
        assert await gets_nothing(streams)
        await proxy.restore()
        assert await asyncio.wait_for(streams[0].readexactly(5), LIMIT_S) == b"asked"


async def test_a_stall_holds_back_new_connections_too(proxy: Proxy, echo: Echo) -> None:
    proxy.stall()
    async with connected(proxy) as streams:
        streams[1].write(b"new")
        assert await gets_nothing(streams)
        assert not echo.heard
        await proxy.restore()
        assert await asyncio.wait_for(streams[0].readexactly(3), LIMIT_S) == b"new"


@pytest.mark.parametrize(("snip", "arrived"), [(Snip.BEFORE, b"first "), (Snip.AFTER, b"first COMMIT")])
async def test_scissors_reset_before_or_after_what_they_saw_reaches_the_server(
    proxy: Proxy, echo: Echo, snip: Snip, arrived: bytes
) -> None:
    proxy.scissors = lambda chunk: snip if b"COMMIT" in chunk else None
    async with connected(proxy) as streams:
        await ask(streams, b"first ")
        streams[1].write(b"COMMIT")
        assert await is_reset(streams)
    await until_heard(echo, arrived)
    assert proxy.resets == 1


async def test_a_reset_ends_open_connections_and_lets_new_ones_in(proxy: Proxy) -> None:
    async with connected(proxy) as streams:
        await ask(streams, b"hello")
        proxy.reset()
        assert await is_reset(streams)
    async with connected(proxy) as streams:
        assert await ask(streams, b"again") == b"again"


async def test_a_cut_ends_connections_and_refuses_new_ones_until_it_listens_on_the_same_port_again(
    proxy: Proxy,
) -> None:
    port = proxy.port
    async with connected(proxy) as streams:
        await ask(streams, b"hello")
        await proxy.cut()
        assert await is_reset(streams)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    await proxy.restore()
    assert proxy.port == port
    async with connected(proxy) as streams:
        assert await ask(streams, b"again") == b"again"


async def test_restoring_takes_away_latency_and_scissors(proxy: Proxy) -> None:
    proxy.latency_s, proxy.scissors = LIMIT_S, lambda _: Snip.BEFORE
    await proxy.restore()
    async with connected(proxy) as streams:
        assert await ask(streams, b"hello") == b"hello"


async def test_a_connection_is_reset_where_the_server_is_away(proxy: Proxy) -> None:
    async with a_proxy("127.0.0.1", 0) as gone:
        away = gone.port
    proxy.forward_to(f"127.0.0.1:{away}")
    async with connected(proxy) as streams:
        assert await is_reset(streams)
