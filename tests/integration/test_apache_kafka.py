"""What only Apache Kafka does: it refuses workers, and it goes on when one broker of three is lost."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from reservations.app.stack.home import Home
from tests.apache_kafka.__main__ import killed
from tests.apache_kafka.cluster import Cluster, prepare
from tests.conditions import eventually
from tests.servers import Server, already, running
from tests.service import Service

START_LIMIT_S = 60
TOPIC = "kept-thrice"


@pytest.fixture(autouse=True)
def apache_kafka(broker: Server) -> None:
    """Skip where the run is not against an Apache Kafka."""
    if broker.embedded:
        pytest.skip("of Apache Kafka alone: `make test-kafka` runs it")


async def test_a_worker_that_its_group_refuses_says_why_and_ends(own_service: Service) -> None:
    hasty = replace(own_service, environment={**own_service.environment, "KAFKA_SESSION_TIMEOUT_S": "1"})
    worker = hasty.launch("worker")
    assert await worker.ended() == 1
    (line,) = [line for line in worker.lines() if line["event"] == "the worker failed"]
    assert line["exception"][0]["type"] == "InvalidSessionTimeoutError"


async def test_of_three_brokers_one_may_be_killed_and_each_message_is_kept_once(
    kafka_libraries: Path | None, tmp_path: Path
) -> None:
    if not kafka_libraries:
        pytest.skip("needs Java and Maven, to start three brokers")
    cluster = prepare(Home(tmp_path), kafka_libraries, 3)
    with each_running(cluster) as brokers:
        await eventually(cluster.is_ready, limit_s=START_LIMIT_S)
        leader = await made_topic(cluster)
        async with AIOKafkaProducer(bootstrap_servers=cluster.address, acks="all", enable_idempotence=True) as producer:
            await producer.send_and_wait(TOPIC, b"to three")
            brokers[leader].close()
            await producer.send_and_wait(TOPIC, b"to two")
        assert await values(cluster, 2) == [b"to three", b"to two"]


@contextmanager
def each_running(cluster: Cluster) -> Iterator[list[ExitStack]]:
    """Run the brokers of a cluster; give what kills each of them when it is closed."""
    with ExitStack() as stack:
        brokers = [stack.enter_context(ExitStack()) for _ in cluster.nodes]
        for broker, node in zip(brokers, cluster.nodes, strict=True):
            broker.enter_context(running(killed(node.program), already))
        yield brokers


async def made_topic(cluster: Cluster) -> int:
    """Make a topic that needs two replicas of three for each message; return the number of the broker that leads it."""
    topic = NewTopic(TOPIC, 1, 3, topic_configs={"min.insync.replicas": "2"})
    admin = AIOKafkaAdminClient(bootstrap_servers=cluster.address)
    await admin.start()
    try:
        await admin.create_topics([topic])
        leaders = await eventually(lambda: leaders_of(admin))
    finally:
        await admin.close()
    return leaders[0]


async def leaders_of(admin: AIOKafkaAdminClient) -> list[int]:
    """Return which broker leads each partition of the topic, none while a broker does not know of it yet."""
    (described,) = await admin.describe_topics([TOPIC])
    return [partition["leader"] for partition in described["partitions"] if len(partition["isr"]) == 3]


async def values(cluster: Cluster, count: int) -> list[bytes | None]:
    """Return what a topic holds, once there are so many messages."""
    async with AIOKafkaConsumer(TOPIC, bootstrap_servers=cluster.address, auto_offset_reset="earliest") as consumer:
        found: list[bytes | None] = []

        async def look() -> bool:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found.extend(record.value for record in records)
            return len(found) >= count

        await eventually(look)
        return found
