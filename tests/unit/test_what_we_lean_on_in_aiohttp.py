"""Fail when an upgrade changes what connections lean on: private parts of aiohttp's request handler.

A failure here is no bug. Read what changed, check what the message says, then take over the new fingerprint.
"""

import hashlib
import inspect
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web, web_protocol, web_request
from aiohttp.base_protocol import BaseProtocol

# What is overridden, called or relied on, its fingerprint, and what to check again when it changed.
LEANED_ON: list[tuple[Callable[..., Any], str, str]] = [
    (
        web_protocol.RequestHandler.data_received,
        "1ee57ebe052e",
        "it must count each whole head in _request_count at once, and add no head while _close or _force_close is set",
    ),
    (
        web_protocol.RequestHandler.start,
        "2e565fd40c8e",
        "_waiter must be pending just while no request is in work, and lingering must end after lingering_time",
    ),
    (
        web_protocol.RequestHandler.connection_made,
        "44d50b5763b2",
        "a connection that is refused is served nothing, for this is not called: does anything else begin to serve it?",
    ),
    (
        web_protocol.RequestHandler.connection_lost,
        "df2fe6e95fd0",
        "it must bear a connection that was never made known to the server",
    ),
    (
        web_protocol.RequestHandler.force_close,
        "38d0e1e798e4",
        "it forgets the transport: Connection keeps its own to end what is not taken",
    ),
    (
        web_protocol.RequestHandler._process_keepalive,
        "b472e0fb8445",
        "it must close what is idle for keepalive_timeout, and nothing that is in work",
    ),
    (
        web_request.BaseRequest.read,
        "5b94964416f6",
        "it must stop beyond client_max_size, also of what it decompresses",
    ),
    (BaseProtocol._drain_helper, "43a2da08aabc", "a handler must wait while the answer is not taken"),
    (web.Server.connection_lost, "fff3ade6ffe8", "it must bear a connection it does not know"),
    (
        web.Server.__call__,
        "c5700549e688",
        "Connections.factory stands for it: has it learnt more?",
    ),
]


def fingerprint(member: Callable[..., Any]) -> str:
    return hashlib.sha256(inspect.getsource(member).encode()).hexdigest()[:12]


@pytest.mark.parametrize(
    ("member", "expected", "check"), LEANED_ON, ids=[member.__qualname__ for member, _, _ in LEANED_ON]
)
def test_what_is_leaned_on_reads_as_before(member: Callable[..., Any], expected: str, check: str) -> None:
    assert fingerprint(member) == expected, f"{member.__module__}.{member.__qualname__} changed: {check}"


def test_a_handler_has_the_attributes_that_are_read() -> None:
    assert {"_request_count", "_waiter"} <= set(web_protocol.RequestHandler.__slots__)
