"""Who may do what on the cluster: the least that each of those who take part needs.

Kafka lets who may read or write a topic, or read a group, describe it too; so that is not listed beside.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from shlex import quote

from reservations.models.topics import (
    BULK_COMMANDS,
    COMMAND_LANES,
    COMMANDS,
    CREATED,
    DEAD_LETTERS,
    EVENT_TOPICS,
    INTAKE,
    PAYMENT_PROCESSED,
    RESULTS,
    STATUS_CHANGED,
    TOPICS,
    Topic,
)

CLUSTER_NAME = "kafka-cluster"


class Resource(StrEnum):
    """What rights are given to."""

    TOPIC = "topic"
    GROUP = "group"
    CLUSTER = "cluster"


class Operation(StrEnum):
    """What may be done, in Kafka's words."""

    READ = "Read"
    WRITE = "Write"
    CREATE = "Create"
    DESCRIBE = "Describe"
    DESCRIBE_CONFIGS = "DescribeConfigs"
    ALTER_CONFIGS = "AlterConfigs"
    IDEMPOTENT_WRITE = "IdempotentWrite"


@dataclass(frozen=True, slots=True)
class Acl:
    """One right of one principal, from any host, to the one resource of that name."""

    principal: str
    operation: Operation
    resource: Resource
    name: str


@dataclass(frozen=True, slots=True)
class Principals:
    """Those who take part, as the brokers name them."""

    worker: str = "User:svc-reservations-worker"
    gateway: str = "User:svc-reservations-gateway"
    administrator: str = "User:svc-reservations-administrator"
    operator: str = "User:svc-reservations-operator"
    payments: str = "User:svc-payments"
    producers: Sequence[str] = ()
    created_readers: Sequence[str] = ("User:svc-scheduling-orchestrator", "User:svc-analytics")
    status_changed_readers: Sequence[str] = ("User:svc-notifications", "User:svc-analytics")


@dataclass(frozen=True, slots=True)
class Names:
    """How topics and the workers' group are named in this cluster."""

    topic_prefix: str
    group: str


def acls(principals: Principals, names: Names, *, idempotent_write: bool = False) -> list[Acl]:
    """Return every right that is needed, each once; brokers before 2.8 need `idempotent_write` besides."""
    found = [
        *_worker(principals.worker, names),
        *_gateway(principals.gateway, names),
        *_administrator(principals.administrator, names),
        *_operator(principals.operator, names),
        *_to(Operation.WRITE, [PAYMENT_PROCESSED], principals.payments, names),
        *(acl for each in principals.producers for acl in _producer(each, names)),
        *(acl for each in principals.created_readers for acl in _reader(each, CREATED, names)),
        *(acl for each in principals.status_changed_readers for acl in _reader(each, STATUS_CHANGED, names)),
    ]
    if idempotent_write:
        writers = (principals.worker, principals.gateway)
        found += [Acl(each, Operation.IDEMPOTENT_WRITE, Resource.CLUSTER, CLUSTER_NAME) for each in writers]
    return list(dict.fromkeys(found))


def _worker(principal: str, names: Names) -> Iterator[Acl]:
    yield from _to(Operation.READ, INTAKE, principal, names)
    yield Acl(principal, Operation.READ, Resource.GROUP, names.group)
    # The clock puts commands on their topic: a hold that expired, a guest who did not come.
    yield from _to(Operation.WRITE, [CREATED, STATUS_CHANGED, RESULTS, DEAD_LETTERS, COMMANDS], principal, names)


def _gateway(principal: str, names: Names) -> Iterator[Acl]:
    yield from _to(Operation.WRITE, [COMMANDS], principal, names)
    # Events and dead letters are for the page that shows operators what goes on.
    yield from _to(Operation.READ, [RESULTS, CREATED, STATUS_CHANGED, DEAD_LETTERS], principal, names)
    yield from _to(Operation.DESCRIBE, [BULK_COMMANDS], principal, names)
    yield Acl(principal, Operation.DESCRIBE, Resource.GROUP, names.group)


def _administrator(principal: str, names: Names) -> Iterator[Acl]:
    yield from _to(Operation.CREATE, TOPICS, principal, names)
    yield from _to(Operation.DESCRIBE, TOPICS, principal, names)
    yield from _to(Operation.DESCRIBE_CONFIGS, TOPICS, principal, names)
    # Alone the retention of the dead letters follows a setting.
    yield from _to(Operation.ALTER_CONFIGS, [DEAD_LETTERS], principal, names)


def _operator(principal: str, names: Names) -> Iterator[Acl]:
    yield from _to(Operation.READ, [DEAD_LETTERS, RESULTS], principal, names)
    yield from _to(Operation.WRITE, INTAKE, principal, names)
    # An examination looks at all topics, at how long they are kept, and at how far the workers are.
    yield from _to(Operation.DESCRIBE, EVENT_TOPICS.values(), principal, names)
    yield from _to(Operation.DESCRIBE_CONFIGS, TOPICS, principal, names)
    yield Acl(principal, Operation.DESCRIBE, Resource.GROUP, names.group)


def _producer(principal: str, names: Names) -> Iterator[Acl]:
    yield from _to(Operation.WRITE, COMMAND_LANES, principal, names)
    yield from _reader(principal, RESULTS, names)


def _reader(principal: str, topic: Topic, names: Names) -> Iterator[Acl]:
    yield from _to(Operation.READ, [topic], principal, names)
    yield Acl(principal, Operation.READ, Resource.GROUP, own_group(principal))


def own_group(principal: str) -> str:
    """Return the group that a principal reads in: named like it, or like the CN of its certificate."""
    name = principal.partition(":")[2]
    parts = dict(part.strip().partition("=")[::2] for part in name.split(","))
    return parts.get("CN", name)


def _to(operation: Operation, topics: Iterable[Topic], principal: str, names: Names) -> Iterator[Acl]:
    for topic in topics:
        yield Acl(principal, operation, Resource.TOPIC, names.topic_prefix + topic.name)


def table(rights: Sequence[Acl]) -> list[str]:
    """Return the lines of a table, with a header."""
    rows = [("principal", "operation", "resource", "name")]
    rows += [(each.principal, each.operation, each.resource, each.name) for each in rights]
    *widths, _ = (max(map(len, column)) for column in zip(*rows, strict=True))
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)) for row in rows]


def kafka_acls(rights: Sequence[Acl]) -> list[str]:
    """Return a line for each principal and resource, as Kafka's own command takes it."""
    placed = sorted(rights, key=lambda each: (each.principal, each.resource, each.name))
    groups = groupby(placed, key=lambda each: (each.principal, each.resource, each.name))
    return [_line(*place, [each.operation for each in some]) for place, some in groups]


def _line(principal: str, resource: Resource, name: str, operations: Sequence[Operation]) -> str:
    what = "--cluster" if resource is Resource.CLUSTER else f"--{resource} {quote(name)}"
    may = " ".join(f"--operation {each}" for each in operations)
    begin = 'kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$ADMIN"'
    return f"{begin} --add --allow-principal {quote(principal)} {may} {what}"
