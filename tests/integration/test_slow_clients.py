"""Clients that hold connections open get no more than their time, and others are served meanwhile."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from pydantic import BaseModel

from reservations.app.serving import serving
from reservations.http.connections import LINGER_S, MAX_REFUSED, ConnectionLimits, Connections, Reason
from reservations.http.gateway import gateway
from reservations.http.operations import Operation
from reservations.http.requests import read_body
from reservations.models.access import Action
from tests.conditions import eventually
from tests.sockets import Answer, Client, a_client, connect

HEAD_S, BODY_S, TAKEN_S, IDLE_S = 0.5, 0.5, 0.6, 1.5
SLACK_S = 1.0
BIG = b"x" * (8 * 1024 * 1024)
GET = b"GET /small HTTP/1.1\r\nHost: test\r\n\r\n"
POST = b"POST /things HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"


class Thing(BaseModel):
    """A body."""

    name: str


@dataclass
class Server:
    """A gateway with little patience."""

    url: str
    connections: Connections


async def small(_: web.Request) -> web.Response:
    return web.Response(text="small")


async def big(_: web.Request) -> web.Response:
    return web.Response(body=BIG)


async def thing(request: web.Request) -> web.Response:
    return web.Response(text=(await read_body(request, Thing)).name)


@asynccontextmanager
async def a_server(max_connections: int = 1000) -> AsyncIterator[Server]:
    operations = [
        Operation("GET", "/small", "small", "", "", Action.READ, small, {}),
        Operation("GET", "/big", "big", "", "", Action.READ, big, {}),
        Operation("POST", "/things", "thing", "", "", Action.CREATE, thing, {}, body=Thing),
    ]
    application = gateway(operations, [], lambda *_: None, None, BODY_S)
    connections = Connections(ConnectionLimits(max_connections, HEAD_S, TAKEN_S, IDLE_S))
    async with serving(application, "127.0.0.1", 0, stop_deadline_s=0.1, connections=connections) as url:
        yield Server(url, connections)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with a_server() as made:
        yield made


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    async with a_client(server.url) as made:
        yield made


def assert_is_refusal(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.json()["error"]) == (status, code)
    assert answer.json().keys() >= {"error", "message", "timestamp", "trace_id"}


@pytest.mark.parametrize("head", [b"", b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nX: "])
async def test_a_connection_without_a_whole_head_is_closed_in_time(server: Server, client: Client, head: bytes) -> None:
    client.send(head)
    assert HEAD_S * 0.9 < await client.ended_after() < HEAD_S + SLACK_S
    assert server.connections.ended[Reason.SLOW_HEAD] == 1


async def test_a_dripping_head_gets_no_more_time(client: Client) -> None:
    dripping = asyncio.create_task(client.drip(GET * 100, every_s=0.05))
    assert HEAD_S * 0.9 < await client.ended_after() < HEAD_S + SLACK_S
    await dripping


async def test_the_next_head_of_a_kept_connection_has_as_much_time_as_the_first(server: Server, client: Client) -> None:
    client.send(GET)
    assert (await client.answer()).status == 200
    dripping = asyncio.create_task(client.drip(GET[:-2] + b"X: " + b"x" * 100, every_s=0.05))
    assert HEAD_S * 0.9 < await client.ended_after() < HEAD_S + SLACK_S
    assert server.connections.ended[Reason.SLOW_HEAD] == 1
    await dripping


async def test_an_idle_connection_is_kept_longer_than_a_head_may_take_but_not_for_ever(
    server: Server, client: Client
) -> None:
    client.send(GET)
    assert (await client.answer()).status == 200
    assert max(IDLE_S * 0.9, HEAD_S) < await client.ended_after() < IDLE_S + SLACK_S
    assert not server.connections.ended


async def test_a_head_in_pieces_that_comes_in_time_is_served(client: Client) -> None:
    for piece in (GET[:10], GET[10:25], GET[25:]):
        client.send(piece)
        await asyncio.sleep(0)
    assert (await client.answer()).status == 200
    client.send(GET)
    assert (await client.answer()).status == 200


async def test_a_head_without_end_is_cut_off(server: Server, client: Client) -> None:
    client.send(b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"x" * 2000) for n in range(100)))
    await client.ended_after()
    assert server.connections.ended[Reason.LARGE_HEAD] == 1


async def test_a_body_that_does_not_come_whole_in_time_is_answered_408_and_its_connection_closed(
    client: Client,
) -> None:
    begun = monotonic()
    client.send(POST + b"Content-Length: 100\r\n\r\n{")
    assert_is_refusal(await client.answer(), 408, "REQUEST_TIMEOUT")
    assert BODY_S * 0.9 < monotonic() - begun < BODY_S + SLACK_S
    assert await client.ended_after() < LINGER_S + SLACK_S


@pytest.mark.parametrize("framing", [b"Content-Length: 60000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"])
async def test_a_dripping_body_gets_no_more_time(client: Client, framing: bytes) -> None:
    client.send(POST + framing)
    pieces = b"1\r\nx\r\n" * 100 if b"chunked" in framing else b"x" * 500
    dripping = asyncio.create_task(client.drip(pieces, every_s=0.02))
    assert_is_refusal(await client.answer(), 408, "REQUEST_TIMEOUT")
    assert await client.ended_after() < LINGER_S + SLACK_S
    await dripping


async def test_a_body_in_two_pieces_that_comes_in_time_is_read(client: Client) -> None:
    client.send(POST + b'Content-Length: 15\r\n\r\n{"name"')
    await asyncio.sleep(0)
    client.send(b': "sam"}')
    assert (await client.answer()).body == b"sam"


async def test_chunks_without_end_are_refused_at_64_kb_and_their_connection_is_closed(client: Client) -> None:
    client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1000\r\n" + b" " * 0x1000 + b"\r\n")
    pouring = asyncio.create_task(pour(client, b"1000\r\n" + b" " * 0x1000 + b"\r\n"))
    assert_is_refusal(await client.answer(), 413, "PAYLOAD_TOO_LARGE")
    assert await client.ended_after() < LINGER_S + SLACK_S
    pouring.cancel()


async def pour(client: Client, piece: bytes) -> None:
    while True:
        client.send(piece)
        await asyncio.sleep(0.001)


async def test_ten_megabytes_are_refused_before_they_are_all_there(client: Client) -> None:
    client.send(POST + b"Content-Length: 10485760\r\n\r\n" + b" " * (128 * 1024))
    assert_is_refusal(await client.answer(), 413, "PAYLOAD_TOO_LARGE")
    assert await client.ended_after() < LINGER_S + SLACK_S


async def test_garbage_behind_requests_is_refused_and_ends_the_connection(client: Client) -> None:
    client.send(GET * 3)
    assert [(await client.answer()).status for _ in range(3)] == [200] * 3
    client.send(b"\x00\xff garbage\r\n\r\n" * 1000)
    assert_is_refusal(await client.answer(), 400, "VALIDATION_FAILED")
    assert await client.ended_after() < SLACK_S


@pytest.mark.parametrize(
    "head",
    [
        b"GET /small HTTP/1.1\r\n",
        b"GET /small HTTP/9.9\r\nHost: test\r\n",
        b"GET /small HTTP/1.1\r\nHost: test\r\nno field\r\n",
        b"GET /small HTTP/1.1\r\nHost: test\r\nX: " + b"x" * 33_000 + b"\r\n",
        POST + b"Content-Length: many\r\n",
        b"\x16\x03\x01\x02\x00\x01\r\n",
    ],
)
async def test_what_is_hardly_http_is_refused_in_the_one_form_of_errors(client: Client, head: bytes) -> None:
    client.send(head + b"\r\n")
    assert_is_refusal(await client.answer(), 400, "VALIDATION_FAILED")
    assert await client.ended_after() < SLACK_S


async def test_an_unknown_expectation_is_left_unmet(client: Client) -> None:
    client.send(POST + b'Expect: tea\r\nContent-Length: 15\r\n\r\n{"name": "Sam"}')
    assert (await client.answer()).body == b"Sam"


async def test_who_asks_before_sending_a_body_is_told_to_go_on(client: Client) -> None:
    client.send(POST + b"Expect: 100-continue\r\nContent-Length: 15\r\n\r\n")
    assert (await client.answer()).status == 100
    client.send(b'{"name": "Sam"}')
    assert (await client.answer()).body == b"Sam"


@pytest.mark.parametrize(("path", "times"), [("big", 1), ("big", 20), ("small", 200_000)])
async def test_who_does_not_take_answers_is_cut_off(server: Server, path: str, times: int) -> None:
    begun = monotonic()
    with not_reading(server.url) as deaf:
        loop = asyncio.get_running_loop()
        asking = asyncio.create_task(loop.sock_sendall(deaf, GET.replace(b"small", path.encode()) * times))
        await eventually(lambda: answer_of(server.connections.ended[Reason.ANSWER_NOT_TAKEN]))
        assert TAKEN_S * 0.9 < monotonic() - begun < TAKEN_S + 4 * SLACK_S
        await eventually(lambda: answer_of(len(server.connections) == 0))
        asking.cancel()
        await asyncio.wait({asking})
        assert asking.cancelled() or isinstance(asking.exception(), (ConnectionError, type(None)))


def not_reading(url: str) -> socket.socket:
    """Return a connection with little room for answers, that nobody takes them from."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    parts = urlsplit(url)
    made.connect((parts.hostname, parts.port))
    made.setblocking(False)
    return made


async def answer_of(value: object) -> object:
    return value


async def test_one_connection_too_many_is_answered_503_and_closed_and_the_next_has_room_again() -> None:
    async with a_server(max_connections=2) as server, a_client(server.url) as one, a_client(server.url) as two:
        for client in (one, two):
            client.send(GET)
            assert (await client.answer()).status == 200
        async with a_client(server.url) as third:
            third.send(GET)
            answer = await third.answer()
            assert_is_refusal(answer, 503, "OVERLOADED")
            assert (int(answer.headers["retry-after"]) >= 1, answer.headers["connection"]) == (True, "close")
            assert await third.ended_after() < LINGER_S + SLACK_S
        assert (len(server.connections), server.connections.ended[Reason.REFUSED]) == (2, 1)
        one.close()
        await eventually(lambda: answer_of(len(server.connections) == 1))
        async with a_client(server.url) as fourth:
            fourth.send(GET)
            assert (await fourth.answer()).status == 200


async def test_those_who_are_refused_hold_no_connections_either() -> None:
    async with a_server(max_connections=1) as server:
        clients = [await connect(server.url) for _ in range(MAX_REFUSED * 2)]
        await eventually(lambda: answer_of(server.connections.ended[Reason.REFUSED] == MAX_REFUSED * 2 - 1))
        assert server.connections.refused <= MAX_REFUSED
        await asyncio.gather(*(client.ended_after() for client in clients))
        for client in clients:
            client.close()
        await eventually(lambda: answer_of(server.connections.refused == 0))


async def test_a_gzip_bomb_is_refused(client: Client) -> None:
    bomb = gzip.compress(b" " * (64 * 1024 * 1024))
    client.send(POST + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb) + bomb)
    assert_is_refusal(await client.answer(), 413, "PAYLOAD_TOO_LARGE")
