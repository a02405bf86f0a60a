"""Alerts as they come in production: a real Prometheus, the shipped rules, and servers that really go away."""

from collections.abc import AsyncIterator

import pytest

from tests.alerts.ground import Site, a_site
from tests.alerts.prometheus import binary
from tests.conditions import eventually
from tests.servers import Servers

WELL_WITHIN_S, FIRING_WITHIN_S, RESOLVED_WITHIN_S = 120, 45, 120
LOOKS, EVERY_S = 20, 0.25
#: Over which rules judge, all of which must be there while all is well.
JUDGED = ("command_errors:ratio5m", "rest_errors:ratio5m", "rest_slow:ratio5m", "rest_slow:ratio6h")
#: Whoever is refused, or answered 202, is so after seconds: that is slow, too.
SLOW = {"ReservationsRestSlowFastBurn", "ReservationsRestSlowSlowBurn"}


@pytest.fixture(scope="module")
async def site(servers: Servers, template: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    program = binary()
    if program is None:
        pytest.skip("no prometheus on PATH: Debian has it in a package of that name")
    async with a_site(program, servers, template, tmp_path_factory.mktemp("alerts")) as made:
        yield made


async def all_is_well(site: Site, within_s: float) -> None:
    """Wait until every rule is evaluated and has something to judge, and no alert fires.

    Meanwhile others may come and go than those of the outage: minutes are seconds here, and a worker that starts takes
    some.
    """

    left: list[str] = []

    async def look() -> bool:
        unjudged = [name for name in JUDGED if await site.prometheus.value(f"reservations:{name} >= 0") is None]
        left[:] = [*await site.prometheus.troubles(), *unjudged, *await site.prometheus.firing()]
        return not left

    try:
        await eventually(look, limit_s=within_s, every_s=EVERY_S)
    except AssertionError as error:
        raise AssertionError(f"not well after {within_s} s: {left}") from error


async def fire(site: Site, expected: set[str], fitting: set[str]) -> None:
    """Wait until these alerts fire and go on firing; see that none fires that does not fit."""
    seen: list[bool] = []

    async def look() -> bool:
        firing = await site.prometheus.firing()
        assert firing <= expected | fitting
        seen.append(firing >= expected)
        return seen[-LOOKS:] == [True] * LOOKS

    await eventually(look, limit_s=FIRING_WITHIN_S, every_s=EVERY_S)


async def test_a_broker_that_is_killed_is_alerted_on_until_it_is_back(site: Site) -> None:
    await all_is_well(site, WELL_WITHIN_S)
    await site.broker.kill()
    refused = {"ReservationsRestErrorsFastBurn", "ReservationsRestErrorsSlowBurn"}
    await fire(site, {"ReservationsBrokerAway"} | refused, fitting=SLOW)
    await site.bring_back_the_broker()
    await all_is_well(site, RESOLVED_WITHIN_S)


async def test_workers_that_are_gone_are_alerted_on_until_there_is_one(site: Site) -> None:
    await all_is_well(site, WELL_WITHIN_S)
    await site.worker.stop()
    waiting = {"ReservationsCommandsStandStill", "ReservationsInstanceDown"}
    await fire(site, {"ReservationsWorkerDown"} | waiting, fitting=SLOW)
    await site.start_a_worker()
    await all_is_well(site, RESOLVED_WITHIN_S)
