"""Who calls: found out before an operation is handled, and kept with the request."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from reservations.http.problems import problem
from reservations.models.access import ANYBODY, Action, Caller
from reservations.models.errors import ErrorCode

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
#: Finds out who sent a request; raises ProblemError when that can't be known.
Identify = Callable[[web.Request], Awaitable[Caller]]

CALLER: web.RequestKey[Caller] = web.RequestKey("caller", Caller)


def caller_of(request: web.Request) -> Caller:
    """Return who sent a request: anybody, where nobody has to say who they are."""
    caller: Caller = request.get(CALLER, ANYBODY)
    return caller


def admitting(action: Action, handler: Handler, identify: Identify) -> Handler:
    """Return a handler that lets those in who may do this."""

    async def admit(request: web.Request) -> web.StreamResponse:
        request[CALLER] = caller = await identify(request)
        if not caller.may(action):
            raise problem(ErrorCode.FORBIDDEN, f"Your token does not allow to {action} reservations.")
        return await handler(request)

    return admit
