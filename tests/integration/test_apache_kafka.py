"""What only Apache Kafka does: it refuses workers, and it goes on when one broker of three is lost."""

from dataclasses import replace

import pytest

from tests.servers import Server
from tests.service import Service


@pytest.fixture(autouse=True)
def apache_kafka(broker: Server) -> None:
    """Skip where the run is not against an Apache Kafka."""
    if broker.embedded:
        pytest.skip("only Apache Kafka does this: `make test-kafka`")


async def test_a_worker_that_its_group_refuses_says_why_and_ends(own_service: Service) -> None:
    hasty = replace(own_service, environment={**own_service.environment, "KAFKA_SESSION_TIMEOUT_S": "1"})
    worker = hasty.launch("worker")
    assert await worker.ended() == 1
    (line,) = [line for line in worker.lines() if line["event"] == "the worker failed"]
    assert line["exception"][0]["type"] == "InvalidSessionTimeoutError"
