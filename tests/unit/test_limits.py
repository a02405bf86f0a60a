"""Callers are counted by name or by address, and refused with the time to wait."""

from types import SimpleNamespace

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from reservations.http.callers import CALLER, caller_of
from reservations.http.limits import GuessLimit, RateLimit
from reservations.http.problems import STATUSES, ProblemError, problem
from reservations.models.access import ANYBODY, EVERYTHING, Caller
from reservations.models.errors import ErrorCode


class Clock:
    """A clock that is set by hand."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def a_request(caller: str | None = None, address: str = "10.0.0.1") -> web.Request:
    transport = SimpleNamespace(get_extra_info=lambda name, default=None: {"peername": (address, 1)}.get(name, default))
    request = make_mocked_request("GET", "/reservations", transport=transport)
    if caller:
        request[CALLER] = Caller(caller, EVERYTHING)
    return request


async def known(request: web.Request) -> Caller:
    """Find who asks where the request says it, as authentication does."""
    caller = caller_of(request)
    if caller is ANYBODY:
        raise problem(ErrorCode.UNAUTHENTICATED, "Send a token.")
    return caller


def refusal(error: "pytest.ExceptionInfo[ProblemError]") -> tuple[int, str]:
    return STATUSES[error.value.rejected.code], error.value.headers["Retry-After"]


async def test_a_caller_that_asks_too_often_is_told_when_to_go_on() -> None:
    clock = Clock()
    identify = RateLimit(0.25, 2, clock).within(known)
    for _ in range(2):
        assert (await identify(a_request(caller="one"))).name == "one"
    with pytest.raises(ProblemError) as refused:
        await identify(a_request(caller="one"))
    assert refusal(refused) == (429, "4")
    await identify(a_request(caller="two"))
    clock.now_s = 4.0
    await identify(a_request(caller="one"))


async def test_failures_to_say_who_asks_are_counted_by_address_and_cost_nobody_else_anything() -> None:
    identify = RateLimit(1, 1, Clock()).within(known)
    for address, code in (("10.0.0.1", 401), ("10.0.0.2", 401), ("10.0.0.1", 429)):
        with pytest.raises(ProblemError) as refused:
            await identify(a_request(address=address))
        assert STATUSES[refused.value.rejected.code] == code
    await identify(a_request(caller="one", address="10.0.0.1"))


def test_a_caller_is_locked_out_by_wrong_codes_of_any_kind_and_others_are_not() -> None:
    limit = GuessLimit(2, 900, Clock())
    for code in ("A", "B"):
        limit.settle(a_request(caller="one"), code, found=False)
    with pytest.raises(ProblemError) as refused:
        limit.check(a_request(caller="one"), "C")
    assert refusal(refused) == (429, "900")
    limit.check(a_request(caller="two"), "C")
    limit.check(a_request(), "C")


def test_a_code_is_locked_by_wrong_tries_of_many_callers() -> None:
    limit = GuessLimit(2, 900, Clock())
    for caller in ("one", None):
        limit.settle(a_request(caller=caller), "A", found=False)
    with pytest.raises(ProblemError):
        limit.check(a_request(caller="three"), "A")
    limit.check(a_request(caller="three"), "B")


@pytest.mark.parametrize("found", [True, False])
def test_of_many_tries_at_once_no_more_are_answered_than_are_allowed(found: bool) -> None:
    limit = GuessLimit(2, 900, Clock())
    for code in "ABC":
        limit.check(a_request(caller="one"), code)
    for code in "AB":
        limit.settle(a_request(caller="one"), code, found=False)
    with pytest.raises(ProblemError):
        limit.settle(a_request(caller="one"), "C", found=found)


def test_right_codes_are_not_counted() -> None:
    limit = GuessLimit(1, 900, Clock())
    for _ in range(3):
        limit.settle(a_request(caller="one"), "A", found=True)
    limit.check(a_request(caller="one"), "A")
