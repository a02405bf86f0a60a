"""A gateway gets the file descriptors that its connections need, as far as the system lets it."""

import resource
from typing import Any

import pytest
import structlog

from reservations.app import descriptors

NEEDED = 1000 + descriptors.SPARE


@pytest.mark.parametrize(
    ("soft", "hard", "expected", "is_told"),
    [
        (256, resource.RLIM_INFINITY, NEEDED, False),
        (256, 4096, NEEDED, False),
        (256, 1024, 1024, True),
        (4096, 4096, 4096, False),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, resource.RLIM_INFINITY, False),
    ],
)
def test_the_limit_is_raised_as_far_as_it_is_needed_and_allowed(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, expected: int, is_told: bool
) -> None:
    limits = [(soft, hard)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, given: limits.append(given))
    with structlog.testing.capture_logs() as logged:
        descriptors.provide(1000)
    told: list[Any] = [line["event"] for line in logged]
    assert (limits[-1], told) == ((expected, hard), ["few_descriptors"] * is_told)
