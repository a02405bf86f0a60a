"""Ids carry the time, rows of a reservation lie in its month, codes are random and of their month."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import RFC_4122

from hypothesis import given
from hypothesis import strategies as st

from reservations.models.identifiers import (
    CROCKFORD_BASE32,
    ENTROPY_BYTES,
    BufferedEntropy,
    confirmation_code,
    is_uuid7,
    kin_of,
    kin_range,
    time_of,
    unix_ms,
    uuid7,
)

INSTANTS = st.datetimes(datetime(2000, 1, 1), datetime(2085, 3, 31), timezones=st.just(UTC))  # noqa: DTZ001  # zone added


@given(INSTANTS)
def test_an_id_is_a_version_7_uuid_of_its_millisecond(instant: datetime) -> None:
    made = uuid7(unix_ms(instant))
    assert is_uuid7(made)
    assert made.variant == RFC_4122
    assert timedelta() <= instant - time_of(made) < timedelta(milliseconds=1)


@given(INSTANTS, st.integers(1, 10**6))
def test_ids_sort_by_the_time_they_were_made(instant: datetime, later_ms: int) -> None:
    assert uuid7(unix_ms(instant)) < uuid7(unix_ms(instant) + later_ms)


@given(INSTANTS, st.lists(st.integers(0, 4095), min_size=2, max_size=20, unique=True))
def test_rows_of_a_reservation_share_its_time_and_sort_by_their_ordinal(instant: datetime, ordinals: list[int]) -> None:
    reservation = uuid7(unix_ms(instant))
    kin = [kin_of(reservation, ordinal) for ordinal in ordinals]
    lowest, highest = kin_range(reservation, reservation)
    assert all(lowest <= each <= highest and time_of(each) == time_of(reservation) for each in kin)
    assert sorted(kin) == [each for _, each in sorted(zip(ordinals, kin, strict=True))]


@given(INSTANTS)
def test_a_code_begins_with_its_month_and_sorts_by_it(instant: datetime) -> None:
    code, next_month = confirmation_code(instant), confirmation_code(instant.replace(day=28) + timedelta(days=4))
    assert len(code) == 12
    assert set(code) <= set(CROCKFORD_BASE32)
    assert code[:2] == confirmation_code(instant)[:2]
    assert code[:2] < next_month[:2]


def test_a_hundred_thousand_codes_are_all_different_and_use_every_character_alike() -> None:
    now, count = datetime(2026, 11, 23, tzinfo=UTC), 100_000
    codes = {confirmation_code(now) for _ in range(count)}
    assert len(codes) == count
    seen = Counter(character for code in codes for character in code[2:])
    expected = count * 10 / 32
    chi_square = sum((seen[character] - expected) ** 2 / expected for character in CROCKFORD_BASE32)
    assert chi_square < 80.0  # 31 degrees of freedom: beyond it once in about four hundred thousand runs


@given(st.lists(st.integers(1, 64), min_size=1, max_size=300))
def test_buffered_entropy_gives_every_byte_of_its_source_at_most_once_and_in_order(counts: list[int]) -> None:
    pages: list[bytes] = []

    def source(count: int) -> bytes:
        pages.append(len(pages).to_bytes(2, "big") * (count // 2))
        return pages[-1]

    entropy = BufferedEntropy(source)
    given_bytes = [entropy(count) for count in counts]
    assert [len(each) for each in given_bytes] == counts
    assert sum(counts) <= len(pages) * ENTROPY_BYTES
    assert all(any(each in page for page in pages) for each in given_bytes)
    assert len(pages) <= 1 + sum(counts) // (ENTROPY_BYTES - 64)
