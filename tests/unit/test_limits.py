"""Callers are counted by name or by address, and refused with the time to wait."""

from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from reservations.http.limits import CALLER, GuessLimit, RateLimit, caller_key
from reservations.http.problems import STATUSES, ProblemError


@dataclass(frozen=True)
class Named:
    """Somebody."""

    name: str


class Clock:
    """A clock that is set by hand."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def a_request(path: str = "/reservations", caller: str | None = None, address: str = "10.0.0.1") -> web.Request:
    transport = SimpleNamespace(get_extra_info=lambda name, default=None: {"peername": (address, 1)}.get(name, default))
    request = make_mocked_request("GET", path, transport=transport)
    if caller:
        request[CALLER] = Named(caller)
    return request


async def answer(_: web.Request) -> web.StreamResponse:
    return web.Response()


def refusal(error: "pytest.ExceptionInfo[ProblemError]") -> tuple[int, str]:
    return STATUSES[error.value.rejected.code], error.value.headers["Retry-After"]


def test_a_caller_is_known_by_name_else_by_address() -> None:
    assert caller_key(a_request(caller="guest:1")) == "guest:1"
    assert caller_key(a_request(address="10.0.0.7")) == "10.0.0.7"


async def test_a_caller_that_asks_too_often_is_told_when_to_go_on() -> None:
    clock = Clock()
    limit = RateLimit(0.25, 2, clock).middleware()
    for _ in range(2):
        await limit(a_request(caller="one"), answer)
    with pytest.raises(ProblemError) as refused:
        await limit(a_request(caller="one"), answer)
    assert refusal(refused) == (429, "4")
    await limit(a_request(caller="two"), answer)
    clock.now_s = 4.0
    await limit(a_request(caller="one"), answer)


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics", "/docs", "/docs/", "/openapi.json"])
async def test_health_metrics_and_documents_are_not_counted(path: str) -> None:
    limit = RateLimit(1, 1, Clock()).middleware()
    for _ in range(3):
        await limit(a_request(path, caller="one"), answer)
    await limit(a_request(caller="one"), answer)


async def test_nobody_is_limited_where_nobody_says_who_asks() -> None:
    limit = RateLimit(1, 1, Clock()).middleware()
    for _ in range(3):
        await limit(a_request(), answer)


def test_failures_to_say_who_asks_are_counted_by_address() -> None:
    limit = RateLimit(1, 1, Clock())
    limit.count_failure(a_request(address="10.0.0.1"))
    limit.count_failure(a_request(address="10.0.0.2"))
    with pytest.raises(ProblemError) as refused:
        limit.count_failure(a_request(address="10.0.0.1"))
    assert refusal(refused) == (429, "1")


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
