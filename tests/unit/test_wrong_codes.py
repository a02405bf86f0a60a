"""Wrong tries are counted in a sliding window, in bounded memory."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from reservations.http.wrong_codes import WrongTries

ALLOWED, WINDOW_S = 3, 10.0


def test_tries_are_taken_until_too_many_were_wrong_and_again_when_the_oldest_is_out_of_the_window() -> None:
    tries = WrongTries(ALLOWED, WINDOW_S)
    for now_s in (0, 1, 2):
        assert tries.locked_s(["code"], now_s) == 0
        tries.note(["code"], now_s)
    assert tries.locked_s(["code"], 4) == 6
    assert tries.locked_s(["other", "code"], 4) == 6
    assert tries.locked_s(["other"], 4) == 0
    assert tries.locked_s(["code"], 10) == 0
    tries.note(["code"], 10)
    assert tries.locked_s(["code"], 10) == 1


@given(st.lists(st.floats(0, 5), max_size=50))
def test_no_window_holds_more_wrong_tries_than_are_allowed(pauses: Sequence[float]) -> None:
    tries, now_s = WrongTries(ALLOWED, WINDOW_S), 0.0
    noted: list[float] = []
    for pause_s in pauses:
        now_s += pause_s
        within = [each for each in noted if each + WINDOW_S - now_s > 0]
        assert (tries.locked_s(["key"], now_s) > 0) == (len(within) >= ALLOWED)
        if len(within) < ALLOWED:
            tries.note(["key"], now_s)
            noted.append(now_s)


def test_memory_is_bounded_and_what_is_out_of_the_window_is_forgotten() -> None:
    tries = WrongTries(ALLOWED, WINDOW_S, max_keys=100)
    for number in range(1000):
        tries.note([str(number)], 0)
    assert len(tries) == 100
    tries.note(["late"], WINDOW_S)
    assert len(tries) == 1


def test_the_key_forgotten_is_the_one_that_was_tried_least_lately() -> None:
    tries = WrongTries(ALLOWED, WINDOW_S, max_keys=2)
    for _ in range(ALLOWED - 1):
        tries.note(["tried"], 0)
    tries.note(["once"], 0)
    tries.note(["tried"], 0)
    tries.note(["new"], 0)
    assert tries.locked_s(["tried"], 0) > 0
