"""The issuer's key set, fetched over HTTP from an issuer that may be wrong, slow, or somebody else."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from reservations.app.authentication import MAX_KEY_SET_BYTES, fetching
from reservations.http.keys import PAUSE_S, FetchedKeys
from tests.tokens import Issuer

FIRST, SECOND = Issuer("first"), Issuer("second")
LIMIT_S = 0.3

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def publishing(*issuers: Issuer) -> Answer:
    """Return what answers with the issuers' keys."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response({"keys": [issuer.jwk() for issuer in issuers]})

    return answer


async def failing(_: web.Request) -> web.StreamResponse:
    return web.json_response({"keys": [SECOND.jwk()]}, status=500)


async def redirecting(_: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("/elsewhere")


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(json.dumps({"keys": [SECOND.jwk()]}).encode().rstrip(b"}"))
    for _ in range(2 * MAX_KEY_SET_BYTES // 1024):
        await response.write(b" " * 1024)
    await response.write(b"}")
    return response


async def silent(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(10 * LIMIT_S)
    return web.json_response({"keys": [SECOND.jwk()]})


async def dripping(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    text = json.dumps({"keys": [SECOND.jwk()]}).encode()
    for start in range(0, len(text), 50):
        await response.write(text[start : start + 50])
        await asyncio.sleep(0)
    return response


async def babbling(_: web.Request) -> web.StreamResponse:
    return web.Response(body=b"\xff\xfe<html>")


class Published:
    """What an issuer answers, and the keys that a gateway knows of it."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.answer: Answer = publishing(FIRST)
        self.keys: FetchedKeys

    async def asked(self, request: web.Request) -> web.StreamResponse:
        return await self.answer(request)


@pytest.fixture
async def published() -> AsyncIterator[Published]:
    made, application = Published(), web.Application()
    application.router.add_get("/keys", made.asked)
    application.router.add_get("/elsewhere", publishing(SECOND))
    timeout = aiohttp.ClientTimeout(total=LIMIT_S)
    async with TestServer(application) as server, aiohttp.ClientSession(timeout=timeout) as session:
        made.keys = FetchedKeys(fetching(session, str(server.make_url("/keys"))), 300, lambda: made.now_s)
        yield made


async def test_keys_are_fetched_and_rotate(published: Published) -> None:
    assert await published.keys.find("first")
    published.answer = publishing(FIRST, SECOND)
    assert await published.keys.find("second") is None
    published.now_s += PAUSE_S
    assert await published.keys.find("second")


@pytest.mark.parametrize("answer", [failing, redirecting, endless, silent, babbling])
async def test_what_is_no_answer_of_the_issuer_changes_no_key(published: Published, answer: Answer) -> None:
    assert await published.keys.find("first")
    published.answer = answer
    published.now_s += PAUSE_S
    assert await published.keys.find("second") is None
    assert await published.keys.find("first")


async def test_a_key_set_may_come_in_pieces(published: Published) -> None:
    published.answer = dripping
    assert await published.keys.find("second")
