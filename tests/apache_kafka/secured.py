"""An Apache Kafka that lets in who logs in by SCRAM or shows a certificate, and only to what its ACLs grant."""

import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.admin import CreateAclsRequest

from reservations.agents.security import Security
from reservations.app.acls import Acl, Operation, Resource
from reservations.app.stack.broker import listens
from reservations.app.stack.home import Home
from tests.apache_kafka.__main__ import killed
from tests.apache_kafka.certificates import Authority
from tests.apache_kafka.cluster import Cluster, prepare
from tests.servers import running

BROKER = "broker"
#: As the protocol numbers them.
RESOURCES = {Resource.TOPIC: 2, Resource.GROUP: 3, Resource.CLUSTER: 4}
OPERATIONS = {
    Operation.READ: 3,
    Operation.WRITE: 4,
    Operation.CREATE: 5,
    Operation.DESCRIBE: 8,
    Operation.DESCRIBE_CONFIGS: 10,
    Operation.ALTER_CONFIGS: 11,
    Operation.IDEMPOTENT_WRITE: 12,
}
LITERAL, ALLOW = 3, 3


@dataclass(frozen=True)
class Secured:
    """A broker that runs, and what shows its users the way in: `NAME.pem` and `NAME.key` in `folder`, or a password."""

    scram: str
    mtls: str
    folder: Path
    authority: Authority

    def by_scram(self, user: str, password: str = "") -> dict[str, str]:
        """Return the settings of a process that logs in by a password."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.scram,
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_USERNAME": user,
            "KAFKA_SASL_PASSWORD": password or password_of(user),
            "KAFKA_SSL_CA_FILE": str(self.authority.certificate_file),
        }

    def by_certificate(self, user: str) -> dict[str, str]:
        """Return the settings of a process that shows a certificate."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.mtls,
            "KAFKA_SECURITY_PROTOCOL": "SSL",
            "KAFKA_SSL_CA_FILE": str(self.authority.certificate_file),
            "KAFKA_SSL_CERTIFICATE_FILE": str(self.folder / f"{user}.pem"),
            "KAFKA_SSL_KEY_FILE": str(self.folder / f"{user}.key"),
        }

    def security(self, user: str) -> Security:
        """Return how a test's own client logs in as a user."""
        context = ssl.create_default_context(cafile=str(self.authority.certificate_file))
        return Security("SASL_SSL", "SCRAM-SHA-512", user, password_of(user), context)

    async def grant(self, rights: Sequence[Acl]) -> None:
        """Add rights, as the broker's own user."""
        admin = _admin(self.mtls, self.folder)
        await admin.start()
        try:
            for each in rights:
                await _grant(admin, each)
        finally:
            await admin.close()


@contextmanager
def a_secured_kafka(home: Home, libraries: Path, users: Sequence[str]) -> Iterator[Secured]:
    """Give a broker that runs until the block ends, and knows these users."""
    folder = home.make(home.path / "pem")
    authority = Authority(folder)
    for name in (BROKER, *users):
        authority.issue(name)
    certificate, key = folder / f"{BROKER}.pem", folder / f"{BROKER}.key"
    (folder / "keystore.pem").write_bytes(key.read_bytes() + certificate.read_bytes())
    cluster = prepare(home, libraries, settings=_settings(home, folder), format_options=_passwords(users))
    (node,) = cluster.nodes
    with running(killed(node.program), lambda: _is_ready(cluster, folder)):
        yield Secured(node.address, node.proxied_address, folder, authority)


def password_of(user: str) -> str:
    """Return the password of a user."""
    return f"{user}-password"


def _passwords(users: Sequence[str]) -> list[str]:
    each = (f"SCRAM-SHA-512=[name={user},password={password_of(user)}]" for user in users)
    return [part for user in each for part in ("--add-scram", user)]


def _settings(home: Home, folder: Path) -> dict[str, str]:
    """Return the settings that secure a broker: of its places, DIRECT is for passwords, PROXIED for certificates."""
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    return {
        "listener.security.protocol.map": "DIRECT:SASL_SSL,PROXIED:SSL,CONTROLLER:SSL",
        "inter.broker.listener.name": "PROXIED",
        "listener.name.direct.sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.direct.scram-sha-512.sasl.jaas.config": scram,
        "listener.name.direct.ssl.client.auth": "none",  # per listener, or it would hold for all
        "ssl.client.auth": "required",
        "ssl.principal.mapping.rules": "RULE:^CN=([^,]+).*$/$1/,DEFAULT",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(folder / "keystore.pem"),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(folder / "ca.pem"),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "false",
        "super.users": f"User:{BROKER}",
    }


def _admin(address: str, folder: Path) -> AIOKafkaAdminClient:
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    context.load_cert_chain(folder / f"{BROKER}.pem", folder / f"{BROKER}.key")
    return AIOKafkaAdminClient(bootstrap_servers=address, **Security("SSL", context=context).options())


async def _is_ready(cluster: Cluster, folder: Path) -> bool:
    (node,) = cluster.nodes
    if not await listens(node.proxied_address):
        return False
    admin = _admin(node.proxied_address, folder)
    try:
        await admin.start()
        return bool((await admin.describe_cluster())["brokers"])
    except (KafkaError, OSError):
        return False
    finally:
        await admin.close()


async def _grant(admin: AIOKafkaAdminClient, acl: Acl) -> None:
    request = CreateAclsRequest(
        RESOURCES[acl.resource], acl.name, LITERAL, acl.principal, "*", OPERATIONS[acl.operation], ALLOW
    )
    answer = await admin._send_request(request)
    for code, message in answer.creation_responses:
        assert not code, f"{acl}: {for_code(code).__name__} {message}"
