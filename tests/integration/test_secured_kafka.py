"""Against an Apache Kafka that lets nobody do what `reservations acls` does not list, by passwords and certificates."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import aiohttp
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import GroupAuthorizationFailedError, TopicAuthorizationFailedError

from reservations.app.acls import Acl, Operation, Resource
from reservations.app.settings import Settings
from reservations.app.stack.home import Home
from reservations.app.topics import settle_retention
from reservations.models.topics import (
    BULK_COMMANDS,
    COMMANDS,
    CREATED,
    DEAD_LETTERS,
    PAYMENT_PROCESSED,
    RESULTS,
    STATUS_CHANGED,
    TOPICS,
    Topic,
)
from tests.apache_kafka.certificates import Authority
from tests.apache_kafka.secured import Secured, a_secured_kafka, password_of
from tests.bookings import book
from tests.service import Service, run

PREFIX = "secured."
WORKER, GATEWAY = "svc-reservations-worker", "svc-reservations-gateway"
ADMINISTRATOR, OPERATOR = "svc-reservations-administrator", "svc-reservations-operator"
PAYMENTS, PRODUCER, READER, STRANGER = "svc-payments", "back-office", "svc-analytics", "stranger"
USERS = (WORKER, GATEWAY, ADMINISTRATOR, OPERATOR, PAYMENTS, PRODUCER, READER, STRANGER)
TOPICS_OF_ITS_OWN = {"KAFKA_TOPIC_PREFIX": PREFIX, "KAFKA_PARTITIONS": "4"}
READ_LIMIT_S = 20
END_LIMIT_S = 60


@pytest.fixture(scope="module")
def broker_alone(kafka_libraries: Path | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """Give a secured broker, on which nobody has any right yet."""
    if not kafka_libraries:
        pytest.skip("of Apache Kafka alone, started with Java and Maven: `make test-kafka` runs it")
    with a_secured_kafka(Home(tmp_path_factory.mktemp("secured")), kafka_libraries, USERS) as secured:
        yield secured


@pytest.fixture(scope="module")
async def secured(broker_alone: Secured) -> Secured:
    """Give the broker with the rights that `reservations acls` lists, and with the topics."""
    code, output, complaints = await run(
        {"KAFKA_TOPIC_PREFIX": PREFIX}, "acls", "--json", "--producer", f"User:{PRODUCER}"
    )
    assert code == 0, complaints
    await broker_alone.grant([right(**json.loads(line)) for line in output.splitlines()])
    await make_topics(broker_alone)
    return broker_alone


def right(principal: str, operation: str, resource: str, name: str) -> Acl:
    """Return a right as it was listed."""
    return Acl(principal, Operation(operation), Resource(resource), name)


async def make_topics(secured: Secured) -> None:
    """Make the topics, as their administrator."""
    code, output, complaints = await run({**secured.by_scram(ADMINISTRATOR), **TOPICS_OF_ITS_OWN}, "topics")
    assert code == 0, output + complaints


@asynccontextmanager
async def a_client(secured: Secured, user: str) -> AsyncIterator[AIOKafkaProducer]:
    """Give a producer of a user."""
    options = secured.security(user).options()
    async with AIOKafkaProducer(bootstrap_servers=secured.scram, acks="all", **options) as producer:
        yield producer


async def may_write(secured: Secured, user: str, topic: Topic) -> bool:
    """Tell whether the broker takes a message from a user."""
    async with a_client(secured, user) as producer:
        try:
            await producer.send_and_wait(PREFIX + topic.name, b"{}", b"key", partition=0)
        except TopicAuthorizationFailedError:
            return False
    return True


async def may_read(secured: Secured, user: str, topic: Topic) -> bool:
    """Tell whether the broker shows a topic to a user, in the user's own group."""
    options = secured.security(user).options()
    consumer = AIOKafkaConsumer(PREFIX + topic.name, bootstrap_servers=secured.scram, group_id=user, **options)
    try:
        await consumer.start()
        await consumer.getmany(timeout_ms=100)
    except (TopicAuthorizationFailedError, GroupAuthorizationFailedError):
        return False
    finally:
        await consumer.stop()
    return True


@asynccontextmanager
async def processes(secured: Secured, database: str, folder: Path, *, by_certificate: bool) -> AsyncIterator[Service]:
    """Give worker and gateway that run, each as a user of its own."""
    way_in = secured.by_certificate if by_certificate else secured.by_scram
    async with aiohttp.ClientSession() as session, a_client(secured, PRODUCER) as producer:
        service = Service(database, "", PREFIX, folder, session, producer)
        started = []
        for name, user in (("worker", WORKER), ("gateway", GATEWAY)):
            service.environment = way_in(user)
            started.append(service.launch(name))
        try:
            await asyncio.gather(*map(service.ready, started))
            yield service
        finally:
            await asyncio.gather(*(process.stop() for process in service.processes))


async def read_created(secured: Secured, reservation_id: str) -> None:
    """Read events, as one of those who may, until there is that of the reservation."""
    options = secured.security(READER).options()
    consumer = AIOKafkaConsumer(
        PREFIX + CREATED.name,
        bootstrap_servers=secured.scram,
        group_id=READER,
        auto_offset_reset="earliest",
        **options,
    )
    async with asyncio.timeout(READ_LIMIT_S), consumer:
        async for record in consumer:
            if record.key == reservation_id.encode():
                return


@pytest.mark.parametrize("by_certificate", [False, True], ids=["SCRAM", "mTLS"])
async def test_a_booking_goes_its_way_with_no_more_rights_than_are_listed(
    secured: Secured, database: str, tmp_path: Path, by_certificate: bool
) -> None:
    async with processes(secured, database, tmp_path, by_certificate=by_certificate) as service:
        made = await book(service)
        await read_created(secured, made["id"])
        said = [
            line["kafka_security"] for each in service.processes for line in each.lines() if "kafka_security" in line
        ]
        assert said == ["SSL" if by_certificate else "SASL_SSL SCRAM-SHA-512"] * 2
        logs = "".join(process.log.read_text() for process in service.processes)
        assert password_of(WORKER) not in logs
        assert password_of(GATEWAY) not in logs


@pytest.mark.parametrize(
    ("user", "writes"),
    [
        (STRANGER, []),
        (READER, []),
        (ADMINISTRATOR, []),
        (PRODUCER, [COMMANDS, BULK_COMMANDS]),
        (PAYMENTS, [PAYMENT_PROCESSED]),
        (GATEWAY, [COMMANDS]),
        (WORKER, [COMMANDS, CREATED, STATUS_CHANGED, RESULTS, DEAD_LETTERS]),
        (OPERATOR, [COMMANDS, BULK_COMMANDS, PAYMENT_PROCESSED]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_each_writes_what_is_its_to_write_and_nothing_else(
    secured: Secured, user: str, writes: list[Topic]
) -> None:
    topics = (COMMANDS, BULK_COMMANDS, PAYMENT_PROCESSED, CREATED, STATUS_CHANGED, RESULTS, DEAD_LETTERS)
    written = await asyncio.gather(*(may_write(secured, user, topic) for topic in topics))
    assert [topic for topic, done in zip(topics, written, strict=True) if done] == [
        each for each in topics if each in writes
    ]


@pytest.mark.parametrize(
    ("user", "topic", "expected"),
    [
        (READER, CREATED, True),
        (READER, COMMANDS, False),
        (PRODUCER, RESULTS, True),
        (PRODUCER, CREATED, False),
        (PAYMENTS, PAYMENT_PROCESSED, False),
        (STRANGER, CREATED, False),
    ],
)
async def test_each_reads_what_is_its_to_read(secured: Secured, user: str, topic: Topic, expected: bool) -> None:
    assert await may_read(secured, user, topic) is expected


async def test_the_operators_login_is_enough_to_examine_all(secured: Secured, database: str, tmp_path: Path) -> None:
    async with processes(secured, database, tmp_path, by_certificate=False) as service:
        urls = ("--gateway-url", service.gateway_url, "--worker-url", str(service.processes[0].url()))
        variables = {**service.variables(), **secured.by_scram(OPERATOR)}
        code, output, complaints = await run(variables, "doctor", "--by", "kafka", *urls)
    assert code == 0, output + complaints
    assert "booking.cancel" in output


async def test_the_administrator_settles_how_long_dead_letters_are_kept_and_others_are_told(secured: Secured) -> None:
    others = {**TOPICS_OF_ITS_OWN, "DEAD_LETTER_RETENTION_DAYS": "30"}
    given = {name.lower(): value for name, value in {**secured.by_scram(READER), **others}.items()}
    told = await settle_retention(Settings.model_validate(given))
    assert len(told) == len(TOPICS)
    assert all(
        line.endswith("does not show how long it keeps messages: this login needs DescribeConfigs.") for line in told
    )
    code, output, _ = await run({**secured.by_scram(ADMINISTRATOR), **others}, "topics")
    assert (code, output.splitlines()) == (
        0,
        ["All topics exist.", f"{PREFIX}{DEAD_LETTERS.name} keeps messages for 90 days, 30 days are meant: altered."],
    )
    await make_topics(secured)


async def test_a_wrong_password_ends_each_process_and_says_so(secured: Secured, database: str) -> None:
    wrong = {"AUTH": "off", "DATABASE_URL": database, **secured.by_scram(WORKER, "not-the-password")}
    commands = ["worker"], ["gateway"], ["topics"], ["dead-letters", "list"]
    async with asyncio.timeout(END_LIMIT_S):
        ended = await asyncio.gather(*(run(wrong, *command) for command in commands))
    for code, output, complaints in ended:
        assert code == 1, output
        assert f"The login of '{WORKER}' by SASL_SSL SCRAM-SHA-512 was refused" in complaints
        assert "KAFKA_SASL_PASSWORD" in complaints
        assert "not-the-password" not in output + complaints


async def test_who_is_not_trusted_is_told_on_either_side(secured: Secured, tmp_path: Path) -> None:
    other = Authority(tmp_path)
    certificate, key = other.issue(ADMINISTRATOR)
    false_client = {"KAFKA_SSL_CERTIFICATE_FILE": str(certificate), "KAFKA_SSL_KEY_FILE": str(key)}
    false_broker = {"KAFKA_SSL_CA_FILE": str(other.certificate_file)}
    by_certificate, by_scram = await asyncio.gather(
        run({**secured.by_certificate(ADMINISTRATOR), **false_client}, "topics"),
        run({**secured.by_scram(ADMINISTRATOR), **false_broker}, "topics"),
    )
    assert by_certificate[0] == by_scram[0] == 1
    assert "A connection by SSL was refused" in by_certificate[2]
    assert "KAFKA_SSL_CERTIFICATE_FILE" in by_certificate[2]
    assert "its certificate is not trusted" in by_scram[2]
    assert "KAFKA_SSL_CA_FILE" in by_scram[2]


async def test_an_operator_redrives_a_dead_letter(secured: Secured) -> None:
    key = f"letter-{uuid4()}"
    headers = [("dead-letter-topic", (PREFIX + COMMANDS.name).encode())]
    async with a_client(secured, WORKER) as producer:
        await producer.send_and_wait(PREFIX + DEAD_LETTERS.name, b"{}", key.encode(), headers=headers)
    variables = {**secured.by_scram(OPERATOR), "KAFKA_TOPIC_PREFIX": PREFIX}
    code, output, complaints = await run(variables, "dead-letters", "redrive", "--key", key)
    assert code == 0, complaints
    assert output.endswith("1 redriven, 0 not.\n")
