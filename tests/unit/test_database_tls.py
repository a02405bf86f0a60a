"""Which database hosts need TLS that verifies who answers."""

from collections.abc import Mapping

import pytest

from reservations.app.database_tls import unverified_hosts


@pytest.mark.parametrize(
    ("address", "environment", "hosts"),
    [
        ("postgresql://me@db.example/x", {}, ["db.example"]),
        ("postgresql://me@db.example/x?sslmode=require", {}, ["db.example"]),
        ("postgresql://me@db.example/x?sslmode=verify-ca", {}, []),
        ("postgresql://me@db.example/x?sslmode=verify-full&sslrootcert=/ca", {}, []),
        ("postgresql://me@db.example/x", {"PGSSLMODE": "verify-full"}, []),
        ("postgresql://me@db.example/x?sslmode=prefer", {"PGSSLMODE": "verify-full"}, ["db.example"]),
        ("postgresql://me@localhost,db.example:5433/x", {}, ["db.example"]),
        ("postgresql://me@[2001:db8::1]:5432/x", {}, ["2001:db8::1"]),
        ("postgresql:///x?host=db.example", {}, ["db.example"]),
        ("postgresql:///x", {"PGHOST": "db.example"}, ["db.example"]),
        ("postgresql:///x?service=far", {}, ["service far"]),
        ("postgresql://me@127.9.9.9:1/x", {}, []),
        ("postgresql://me@[::1]:5432/x", {}, []),
        ("postgresql://me@%2Fvar%2Frun%2Fpostgresql/x", {}, []),
        ("postgresql:///x?host=/var/run/postgresql", {}, []),
        ("postgresql:///x", {}, []),
        ("", {}, []),
    ],
)
def test_hosts_elsewhere_are_named_unless_they_are_verified(
    address: str, environment: Mapping[str, str], hosts: list[str]
) -> None:
    assert unverified_hosts(address, environment) == hosts
