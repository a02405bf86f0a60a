"""What the benchmark's report makes of its lines: ranks for who was right, none for who was not."""

from tests.bench.report import standings, table


def a_line(contestant: str, per_second: float, *wrongs: str) -> dict[str, object]:
    return {"contestant": contestant, "workload": "W1", "per_second": per_second, "wrongs": list(wrongs)}


def test_contestants_are_compared_with_the_first_by_their_medians() -> None:
    lines = [a_line("ours", 3000), a_line("peer", 500), a_line("ours", 4000), a_line("peer", 900), a_line("ours", 3200)]
    *_, ours, peer = table(standings(lines)).splitlines()
    assert ours == "| ours | 3,200 | 3,000 to 4,000 | 3 | 100% | nothing |"
    assert peer == "| peer | 700 | 500 to 900 | 2 | 22% | nothing |"


def test_one_that_was_wrong_once_is_not_ranked() -> None:
    lines = [a_line("ours", 3000), a_line("peer", 5000), a_line("peer", 5000, "3 commands are lost")]
    assert table(standings(lines)).endswith("| peer | 5,000 | 5,000 to 5,000 | 2 | not ranked | 3 commands are lost |")


def test_what_is_no_verdict_is_left_out() -> None:
    assert standings([{"machine": {}}, {"contestant": "dbos", "missing": "not installed"}]) == []
