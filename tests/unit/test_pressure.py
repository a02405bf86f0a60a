"""Commands are refused over a limit, taken again well below it, and callers are told for how long to wait."""

import pytest

from reservations.http.pressure import LONGEST_WAIT_S, SHORTEST_WAIT_S, Pressure

MOST = 1000


def seen(*backlogs: int) -> Pressure:
    """Return what was seen, each two seconds after the one before."""
    pressure = Pressure(MOST)
    for index, backlog in enumerate(backlogs):
        pressure.see(backlog, index * 2.0)
    return pressure


@pytest.mark.parametrize(
    ("backlogs", "is_over"),
    [
        ((), False),
        ((MOST,), False),
        ((MOST + 1,), True),
        ((900,), False),
        ((MOST + 1, 900), True),
        ((MOST + 1, 801), True),
        ((MOST + 1, 800), False),
        ((MOST + 1, 800, 900), False),
        ((MOST + 1, 800, 1001), True),
    ],
)
def test_commands_are_refused_over_the_limit_until_a_fifth_less_waits(backlogs: tuple[int, ...], is_over: bool) -> None:
    pressure = seen(*backlogs)
    assert pressure.is_over is is_over
    assert pressure.backlog == (backlogs[-1] if backlogs else None)


@pytest.mark.parametrize(
    ("backlogs", "wait_s"),
    [
        ((2000,), LONGEST_WAIT_S),
        ((2000, 2000), LONGEST_WAIT_S),
        ((2000, 3000), LONGEST_WAIT_S),
        ((2000, 1800), 10),
        ((2200, 2000, 1800), 10),
        ((1_000_000, 999_999), LONGEST_WAIT_S),
        ((100_000, 801), SHORTEST_WAIT_S),
    ],
)
def test_callers_are_told_to_wait_as_long_as_the_backlog_takes_to_shrink(
    backlogs: tuple[int, ...], wait_s: float
) -> None:
    assert seen(*backlogs).wait_s() == pytest.approx(wait_s)


def test_nothing_is_refused_while_the_backlog_is_not_known() -> None:
    pressure = seen(MOST + 1)
    pressure.lose_sight()
    assert (pressure.is_over, pressure.backlog) == (False, None)
