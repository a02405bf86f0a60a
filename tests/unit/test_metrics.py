"""What is shown when processes are scraped."""

import pytest
from prometheus_client import CollectorRegistry

from reservations.app.metrics import AgeCollector, BacklogCollector, GatewayMetrics, WorkerMetrics
from reservations.http.pressure import Pressure
from reservations.models.errors import ErrorCode


def test_a_lane_shows_the_age_of_the_oldest_message_it_has_in_hand() -> None:
    registry = CollectorRegistry()
    arrivals = {"commands": 940.0, "bulk": None, "ahead": 1002.0}
    registry.register(AgeCollector(lambda: arrivals, lambda: 1000.0))
    ages = [registry.get_sample_value("reservations_oldest_message_seconds", {"topic": topic}) for topic in arrivals]
    assert ages == [60, 0, 0]


def test_a_backlog_is_shown_beside_its_limit_and_without_a_value_while_it_is_not_known() -> None:
    pressure, registry = Pressure(500), CollectorRegistry()
    registry.register(BacklogCollector(pressure))
    assert registry.get_sample_value("reservations_command_backlog") is None
    assert registry.get_sample_value("reservations_command_backlog_limit") == 500
    pressure.see(7, 0.0)
    assert registry.get_sample_value("reservations_command_backlog") == 7


def test_dead_letters_are_counted_from_nought() -> None:
    registry, unclaimed = CollectorRegistry(), {"code": "PAYMENT_UNCLAIMED"}
    metrics = WorkerMetrics(registry)
    assert registry.get_sample_value("reservations_dead_letters_total", unclaimed) == 0
    metrics.count_dead_letters(ErrorCode.PAYMENT_UNCLAIMED, 2)
    assert registry.get_sample_value("reservations_dead_letters_total", unclaimed) == 2


def test_refusals_for_a_neighbour_that_is_away_are_counted_from_nought() -> None:
    registry = CollectorRegistry()
    WorkerMetrics(registry)
    labels = {"type": "reservation.create", "outcome": "rejected", "code": "UPSTREAM_UNAVAILABLE", "replayed": "false"}
    assert registry.get_sample_value("reservations_commands_total", labels) == 0


@pytest.mark.parametrize("status", ["500", "503"])
def test_errors_of_a_route_that_is_expected_are_counted_from_nought(status: str) -> None:
    registry, labels = CollectorRegistry(), {"method": "POST", "route": "/reservations", "status": status}
    metrics = GatewayMetrics(registry)
    assert registry.get_sample_value("reservations_http_requests_total", labels) is None
    metrics.expect("POST", "/reservations")
    assert registry.get_sample_value("reservations_http_requests_total", labels) == 0
    metrics.observe("POST", "/reservations", int(status), 0.1)
    assert registry.get_sample_value("reservations_http_requests_total", labels) == 1
