"""The command line for rights on the cluster: `reservations acls`."""

import re
from dataclasses import asdict
from typing import Annotated, Any

import orjson
import typer

from reservations.app.acls import Names, Principals, kafka_acls, table
from reservations.app.acls import acls as rights_of
from reservations.app.settings import load_settings

USUAL = Principals()


def _principal(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z]+:[^\s*][^*\n]*", text):
        raise typer.BadParameter(f"{text!r} is not a principal, as in User:svc-payments; nobody is let in by *")
    return text


def _option(meaning: str) -> Any:
    return typer.Option(parser=_principal, metavar="PRINCIPAL", help=meaning)


def acls(
    *,
    worker: Annotated[str, _option("Who runs the workers.")] = USUAL.worker,
    gateway: Annotated[str, _option("Who runs the gateways.")] = USUAL.gateway,
    administrator: Annotated[str, _option("Who runs `reservations topics`.")] = USUAL.administrator,
    operator: Annotated[str, _option("Who runs `reservations dead-letters`.")] = USUAL.operator,
    payments: Annotated[str, _option("Who tells of payments.")] = USUAL.payments,
    producer: Annotated[list[str] | None, _option("Who may send commands; none unless named. Repeatable.")] = None,
    created_reader: Annotated[list[str] | None, _option("Who reads reservation.created. Repeatable.")] = None,
    status_changed_reader: Annotated[
        list[str] | None, _option("Who reads reservation.status_changed. Repeatable.")
    ] = None,
    idempotent_write: Annotated[
        bool, typer.Option("--idempotent-write", help="Add what brokers before 2.8 want of idempotent producers.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object on each line.")] = False,
    as_kafka_acls: Annotated[
        bool, typer.Option("--kafka-acls", help="Commands for Kafka's own tool; they read $BOOTSTRAP and $ADMIN.")
    ] = False,
) -> None:
    """Print the least rights that all who take part need on the cluster; it asks no broker."""
    if as_json and as_kafka_acls:
        raise typer.BadParameter("Choose --json or --kafka-acls.")
    settings = load_settings()
    principals = Principals(
        worker=worker,
        gateway=gateway,
        administrator=administrator,
        operator=operator,
        payments=payments,
        producers=producer or USUAL.producers,
        created_readers=created_reader or USUAL.created_readers,
        status_changed_readers=status_changed_reader or USUAL.status_changed_readers,
    )
    names = Names(settings.kafka_topic_prefix, settings.kafka_topic_prefix + settings.kafka_group)
    rights = rights_of(principals, names, idempotent_write=idempotent_write)
    if as_json:
        lines = [orjson.dumps(asdict(each)).decode() for each in rights]
    else:
        lines = kafka_acls(rights) if as_kafka_acls else table(rights)
    typer.echo("\n".join(lines))
