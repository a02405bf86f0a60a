"""What the benchmark reads of its machine."""

import pytest

from tests.bench.machine import Ticks, cpu_in, fsyncs_in, ticks_in

PG_TEST_FSYNC = """\
2 seconds per test
O_DIRECT supported on this platform for open_datasync and open_sync.

Compare file sync methods using one 8kB write:
(in wal_sync_method preference order, except fdatasync is Linux's default)
        open_datasync                      2105.371 ops/sec     475 usecs/op
        fdatasync                          1987.250 ops/sec     503 usecs/op
        fsync                              1012.005 ops/sec     988 usecs/op

Compare file sync methods using two 8kB writes:
        open_datasync                      1002.220 ops/sec     998 usecs/op
        fdatasync                          1700.000 ops/sec     588 usecs/op
"""


def test_the_rate_is_that_of_one_block() -> None:
    assert fsyncs_in(PG_TEST_FSYNC) == 1987.25


def test_there_is_no_rate_before_its_line() -> None:
    assert fsyncs_in(PG_TEST_FSYNC.partition("        fdatasync")[0]) is None


def test_a_method_that_is_not_available_has_no_rate() -> None:
    assert fsyncs_in("        fdatasync                                   n/a*\n") is None


@pytest.mark.parametrize(
    ("text", "model"),
    [("processor\t: 0\nmodel name\t: Some CPU @ 2.50GHz\nmodel name\t: another\n", "Some CPU @ 2.50GHz"), ("", "")],
)
def test_the_processor_is_the_first_one_named(text: str, model: str) -> None:
    assert cpu_in(text) == model


def test_waiting_for_the_disk_is_idle_and_guests_count_once() -> None:
    assert ticks_in("cpu  10 1 20 300 40 5 6 7 8 9\ncpu0 1 1 1 1 1 1 1 1 1 1\n") == Ticks(340, 389)


def test_a_machine_without_such_a_file_was_never_idle() -> None:
    assert Ticks(0, 0).idle_share_until(ticks_in("")) == 0


def test_the_idle_share_is_that_of_the_time_between() -> None:
    assert Ticks(100, 1000).idle_share_until(Ticks(150, 1200)) == 0.25
