"""Token buckets let a burst through, then the rate, and are forgotten when nothing is lost by it."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reservations.http.buckets import Buckets

RATE, BURST = 4.0, 3
PAUSES = st.lists(st.sampled_from([0.0, 0.01, 0.1, 0.25, 0.5, 1.0, 10.0]), min_size=1, max_size=60)


def times(pauses: Sequence[float]) -> list[float]:
    """Return the times of requests with these pauses between them."""
    return [sum(pauses[: index + 1]) for index in range(len(pauses))]


class Reference:
    """The bucket of the books: tokens that are counted one by one."""

    def __init__(self) -> None:
        self.tokens = float(BURST)
        self.last_s = 0.0

    def take(self, now_s: float) -> bool:
        self.tokens = min(BURST, self.tokens + (now_s - self.last_s) * RATE)
        self.last_s = now_s
        if self.tokens < 1 - 1e-6:
            return False
        self.tokens -= 1
        return True


@given(PAUSES)
def test_a_request_is_let_through_just_when_a_counted_bucket_has_a_token(pauses: Sequence[float]) -> None:
    buckets, reference = Buckets(RATE, BURST), Reference()
    for now_s in times(pauses):
        assert (buckets.take("one", now_s) == 0) == reference.take(now_s)


@given(PAUSES)
def test_in_any_span_no_more_than_the_burst_and_the_rate_is_let_through(pauses: Sequence[float]) -> None:
    buckets = Buckets(RATE, BURST)
    taken = [now_s for now_s in times(pauses) if buckets.take("one", now_s) == 0]
    for first, begun_s in enumerate(taken):
        for last in range(first, len(taken)):
            assert last - first + 1 <= BURST + RATE * (taken[last] - begun_s) + 1e-6


@given(PAUSES)
def test_who_waits_as_long_as_is_said_is_let_through(pauses: Sequence[float]) -> None:
    buckets = Buckets(RATE, BURST)
    for now_s in times(pauses):
        wait_s = buckets.take("one", now_s)
    if wait_s:
        assert buckets.take("one", now_s + wait_s / 2)
        assert not buckets.take("one", now_s + wait_s)


def test_callers_have_buckets_of_their_own() -> None:
    buckets = Buckets(RATE, BURST)
    assert [buckets.take("one", 0) == 0 for _ in range(4)] == [True, True, True, False]
    assert buckets.take("other", 0) == 0


@pytest.mark.parametrize("asks_again", [True, False])
def test_the_caller_forgotten_is_the_one_that_asked_least_lately(asks_again: bool) -> None:
    buckets = Buckets(RATE, BURST, max_callers=2)
    for _ in range(BURST - 1):
        buckets.take("one", 0)
        buckets.take("two", 0)
    if asks_again:
        buckets.take("one", 0)
    buckets.take("three", 0)
    assert len(buckets) == 2
    assert (buckets.take("one", 0) > 0) == asks_again


@given(st.lists(st.tuples(st.integers(0, 50), st.sampled_from([0.0, 0.1, 1.0])), max_size=200))
def test_memory_is_bounded_by_callers_and_full_buckets_are_forgotten(asked: Sequence[tuple[int, float]]) -> None:
    buckets, now_s = Buckets(RATE, BURST, max_callers=10), 0.0
    for caller, pause_s in asked:
        now_s += pause_s
        buckets.take(str(caller), now_s)
        assert len(buckets) <= 10
    for late in range(10):
        buckets.take("late", now_s + 1000 + late)
    assert len(buckets) == 1
