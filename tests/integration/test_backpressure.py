"""When too many commands wait, writes are refused until the workers have caught up; reads go on."""

from uuid import uuid4

from prometheus_client.parser import text_string_to_metric_families

from tests.bookings import a_booking
from tests.conditions import eventually
from tests.service import Service

MOST = 10
LIMITS = {"MAX_COMMAND_BACKLOG": str(MOST), "BACKLOG_CHECK_S": "0.1"}
ASYNC = {"Prefer": "respond-async"}


async def gauge(service: Service) -> float | None:
    """Return how many commands wait, as the gateway shows it; None while it does not know."""
    _, text, _ = await service.ask("GET", "/metrics")
    families = {family.name: family for family in text_string_to_metric_families(text)}
    samples = families["reservations_command_backlog"].samples
    return samples[0].value if samples else None


async def until_waiting(service: Service, count: int) -> None:
    """Wait until the gateway has seen that so many commands wait."""

    async def look() -> bool:
        return await gauge(service) == count

    await eventually(look, limit_s=30)


async def create(service: Service) -> tuple[int, str, int]:
    """Send a create without waiting for its result; return status, error and Retry-After."""
    status, body, headers = await service.ask("POST", "/reservations", json=a_booking(), headers=ASYNC)
    return status, body.get("error", ""), int(headers["Retry-After"])


async def test_a_full_backlog_refuses_writes_until_a_worker_has_emptied_it(own_service: Service) -> None:
    own_service.environment = {**own_service.environment, **LIMITS}
    await own_service.start("gateway")
    await until_waiting(own_service, 0)
    for _ in range(MOST + 1):
        assert (await create(own_service))[0] == 202
    await until_waiting(own_service, MOST + 1)

    status, error, retry_after_s = await create(own_service)
    assert (status, error) == (503, "OVERLOADED")
    assert 1 <= retry_after_s <= 60
    assert (await own_service.ask("GET", "/reservations"))[0] == 200
    assert (await own_service.ask("GET", f"/commands/{uuid4()}"))[0] == 200

    await own_service.start("worker")
    await until_waiting(own_service, 0)
    assert (await create(own_service))[0] == 202
    _, found, _ = await own_service.ask("GET", "/reservations")
    assert found["total_elements"] >= MOST + 1


async def test_only_what_the_workers_have_not_done_counts(own_service: Service) -> None:
    own_service.environment = {**own_service.environment, **LIMITS}
    await own_service.start("gateway")
    worker = await own_service.start("worker")
    for _ in range(MOST):  # what is done counts until it is committed, about half a second
        assert (await own_service.ask("POST", "/reservations", json=a_booking()))[0] == 201
    await until_waiting(own_service, 0)
    await worker.stop()
    for _ in range(3):
        assert (await create(own_service))[0] == 202
    await until_waiting(own_service, 3)
