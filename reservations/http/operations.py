"""What an HTTP operation is: one declaration that both the routes and the OpenAPI document are made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import HttpVersion11, web
from pydantic import BaseModel

from reservations.http.callers import Handler, Identify, admitting
from reservations.http.links import Link
from reservations.models.access import Action


@dataclass(frozen=True, slots=True)
class Answer:
    """A documented response: what it means, its body's model (a list of it when many), its headers by name, links."""

    description: str
    model: type[BaseModel] | None = None
    many: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, Link] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation: where it is, what it takes, what it answers by status, who may use it, and what handles it.

    Path parameters are UUIDs, named in braces. Query and header parameters are the fields of a model each, header
    names being the fields' aliases.
    """

    method: str
    path: str
    operation_id: str
    summary: str
    tag: str
    action: Action
    handler: Handler
    answers: Mapping[int, Answer]
    description: str = ""
    query: type[BaseModel] | None = None
    headers: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    body_example: Mapping[str, Any] | None = None


def routes(operations: Sequence[Operation], identify: Identify | None) -> list[web.RouteDef]:
    """Return the routes of operations, open to those who may use them, or to anybody where nobody is identified."""
    return [
        web.route(o.method, o.path, _handler(o, identify), name=o.operation_id, expect_handler=_go_on)
        for o in operations
    ]


async def _go_on(request: web.Request) -> None:
    """Have the body sent; an expectation that is not known is left unmet, as RFC 9110, section 10.1.1 allows.

    aiohttp would refuse it in a form of its own.
    """
    if request.version >= HttpVersion11 and request.headers["Expect"].lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # What was written does not belong to the answer, which may still be an error.
        request.writer.output_size = 0


def _handler(operation: Operation, identify: Identify | None) -> Handler:
    return admitting(operation.action, operation.handler, identify) if identify else operation.handler
