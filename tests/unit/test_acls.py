"""The list of rights names what each needs, in this cluster's names, and the document shows that list."""

import json
from itertools import pairwise
from pathlib import Path
from shlex import split

import pytest
from typer.testing import CliRunner

from reservations.app.acls import Names, Operation, Principals, Resource, acls, own_group
from reservations.app.cli import app
from reservations.models.topics import COMMAND_LANES, EVENT_TOPICS, INTAKE, TOPICS

DOCUMENT = Path(__file__).parents[2] / "docs" / "security-kafka.md"
USUAL = Principals(producers=["User:back-office"])


def printed(*options: str) -> list[str]:
    """Return the lines that the command prints."""
    done = CliRunner().invoke(app, ["acls", *options])
    assert done.exit_code == 0, done.output
    return done.output.splitlines()


def who_may(operation: Operation, topic: str) -> set[str]:
    """Return the principals with a right to a topic."""
    rights = acls(USUAL, Names("", "group"))
    return {each.principal for each in rights if (each.operation, each.name) == (operation, topic)}


def test_the_document_shows_the_list_that_is_printed() -> None:
    assert "\n".join(["```text", *printed("--producer", "User:back-office"), "```"]) in DOCUMENT.read_text("utf-8")


def test_only_those_that_are_named_may_write_commands() -> None:
    named = {USUAL.operator, "User:back-office"}
    commands, bulk = (who_may(Operation.WRITE, topic.name) for topic in COMMAND_LANES)
    assert commands == named | {USUAL.worker, USUAL.gateway}
    assert bulk == named


def test_only_the_worker_may_write_events() -> None:
    assert [who_may(Operation.WRITE, topic.name) for topic in EVENT_TOPICS.values()] == [{USUAL.worker}] * 2


def test_only_the_worker_may_read_what_it_works_on() -> None:
    assert [who_may(Operation.READ, topic.name) for topic in INTAKE] == [{USUAL.worker}] * 3


def test_every_topic_may_be_created_by_the_administrator_and_is_written_and_read_by_somebody() -> None:
    for topic in TOPICS:
        assert who_may(Operation.CREATE, topic.name) == {USUAL.administrator}
        assert who_may(Operation.DESCRIBE_CONFIGS, topic.name) == {USUAL.administrator, USUAL.operator}
        assert who_may(Operation.WRITE, topic.name)
        assert who_may(Operation.READ, topic.name)


def test_topics_and_the_workers_group_have_the_prefix_and_the_groups_of_others_have_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KAFKA_TOPIC_PREFIX", "blue.")
    monkeypatch.setenv("KAFKA_GROUP", "workers")
    rights = [json.loads(line) for line in printed("--json")]
    names = {kind: {each["name"] for each in rights if each["resource"] == kind} for kind in Resource}
    assert names[Resource.TOPIC] == {f"blue.{topic.name}" for topic in TOPICS}
    assert names[Resource.GROUP] == {
        "blue.workers",
        "svc-analytics",
        "svc-notifications",
        "svc-scheduling-orchestrator",
    }


def test_no_right_is_listed_twice_and_old_brokers_need_one_more() -> None:
    rights = acls(USUAL, Names("", "group"), idempotent_write=True)
    assert len(rights) == len(set(rights))
    added = set(rights) - set(acls(USUAL, Names("", "group")))
    assert {(each.principal, each.resource) for each in added} == {
        (USUAL.worker, Resource.CLUSTER),
        (USUAL.gateway, Resource.CLUSTER),
    }


def test_kafkas_own_command_gets_the_same_rights() -> None:
    listed = {tuple(json.loads(line).values()) for line in printed("--json", "--idempotent-write")}
    told = set()
    for line in printed("--kafka-acls", "--idempotent-write"):
        words = split(line)
        begin = words.index("--allow-principal")
        principal, *rest = words[begin + 1 :]
        operations = [word for option, word in pairwise(rest) if option == "--operation"]
        resource = next(word.strip("-") for word in rest if word in {"--topic", "--group", "--cluster"})
        name = "kafka-cluster" if resource == "cluster" else rest[-1]
        told |= {(principal, operation, resource, name) for operation in operations}
    assert told == listed


@pytest.mark.parametrize(
    ("principal", "group"),
    [("User:svc-analytics", "svc-analytics"), ("User:CN=svc-analytics,OU=Data,O=NovaTrek", "svc-analytics")],
)
def test_a_reader_has_a_group_of_its_own_name(principal: str, group: str) -> None:
    assert own_group(principal) == group


@pytest.mark.parametrize("principal", ["svc-analytics", "User:*", "User:"])
def test_what_is_no_principal_is_refused(principal: str) -> None:
    done = CliRunner().invoke(app, ["acls", "--producer", principal])
    assert done.exit_code == 2
    assert "is not a principal" in done.output
