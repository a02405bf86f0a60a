"""A cluster of Apache Kafka brokers on loopback (KRaft, each one a controller too), described as programs to run."""

import base64
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from uuid import uuid4

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from reservations.app.stack.broker import listens
from reservations.app.stack.home import LOOPBACK, Home
from reservations.app.stack.programs import Program

REQUEST_LIMIT_MS = 2000
STOP_LIMIT_S = 10
#: It starts soon and stays small; the brokers of a cluster share a machine with all that is tested.
JAVA_OPTIONS = ("-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
#: A group's first worker need not wait for others, nor a topic be made by who merely asks for it.
STRICT = {"group.initial.rebalance.delay.ms": "0", "auto.create.topics.enable": "false"}
#: Brokers before 4.0 took messages that claim to come from the future; tests send some.
ANY_TIME = {"log.message.timestamp.after.max.ms": str(2**63 - 1)}
LOGGING = Path(__file__).with_name("log4j2.properties")


@dataclass(frozen=True)
class Node:
    """One broker: where tests reach it, and where those do that are to come through a proxy."""

    program: Program
    address: str
    proxied_address: str


@dataclass(frozen=True)
class Cluster:
    """Brokers that are ready to be started."""

    nodes: Sequence[Node]

    @property
    def address(self) -> str:
        """Return where the brokers are reached, as `host:port,host:port`."""
        return ",".join(node.address for node in self.nodes)

    async def is_ready(self) -> bool:
        """Tell whether every broker answers, and knows of all of them."""
        return all([await self._knows_all(node) for node in self.nodes])

    async def _knows_all(self, node: Node) -> bool:
        if not await listens(node.address):
            return False
        client = AIOKafkaAdminClient(bootstrap_servers=node.address, request_timeout_ms=REQUEST_LIMIT_MS)
        try:
            await client.start()
            known = await client.describe_cluster()
        except (KafkaError, OSError):
            return False
        finally:
            await client.close()
        return len(known["brokers"]) == len(self.nodes)


def prepare(
    home: Home,
    libraries: Path,
    count: int = 1,
    *,
    advertised: Sequence[str] = (),
    settings: Mapping[str, str] = MappingProxyType({}),
    format_options: Sequence[str] = (),
) -> Cluster:
    """Describe brokers that keep their logs in `home`, and format their storage where that was not done yet.

    `advertised` names, for each broker, the address at which those who come to its `proxied_address` are told to find
    it: that of a proxy. `settings` are the brokers' own, added to those of here; `format_options` say what else is to
    be in new storage.
    """
    cluster_id = home.secret("kafka-cluster") or _new_cluster_id(home)
    controllers = [f"{LOOPBACK}:{home.port(f'kafka-controller-{n}')}" for n in range(count)]
    nodes = []
    for n in range(count):
        address, proxied = (f"{LOOPBACK}:{home.port(name)}" for name in (f"kafka-{n}", f"kafka-proxied-{n}"))
        places = _places(n, address, proxied, dict(enumerate(advertised)).get(n, proxied), controllers)
        folder = {"log.dirs": home.path / f"kafka-{n}"}
        all_settings = {**places, **_replication(count), **STRICT, **ANY_TIME, **folder, **settings}
        program = _program(home, f"kafka-{n}", libraries, all_settings)
        _format(program, cluster_id, format_options)
        nodes.append(Node(program, address, proxied))
    return Cluster(nodes)


def _new_cluster_id(home: Home) -> str:
    made = base64.urlsafe_b64encode(uuid4().bytes).decode().rstrip("=")
    home.keep_secret("kafka-cluster", made)
    return made


def _places(number: int, address: str, proxied: str, advertised: str, controllers: Sequence[str]) -> dict[str, object]:
    return {
        "node.id": number,
        "process.roles": "broker,controller",
        "controller.quorum.voters": ",".join(f"{n}@{controller}" for n, controller in enumerate(controllers)),
        "controller.listener.names": "CONTROLLER",
        "listeners": f"DIRECT://{address},PROXIED://{proxied},CONTROLLER://{controllers[number]}",
        "advertised.listeners": f"DIRECT://{address},PROXIED://{advertised}",
        "listener.security.protocol.map": "DIRECT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "DIRECT",
    }


def _replication(count: int) -> dict[str, object]:
    majority = count // 2 + 1
    return {
        "default.replication.factor": count,
        "min.insync.replicas": majority,
        "offsets.topic.num.partitions": 4,
        "offsets.topic.replication.factor": count,
        "transaction.state.log.num.partitions": 4,
        "transaction.state.log.replication.factor": count,
        "transaction.state.log.min.isr": majority,
    }


def _program(home: Home, name: str, libraries: Path, settings: Mapping[str, object]) -> Program:
    file = home.path / f"{name}.properties"
    file.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    java = [shutil.which("java") or "java", *JAVA_OPTIONS, f"-Dlog4j2.configurationFile={LOGGING}"]
    return Program(
        name=name,
        argv=[*java, "-cp", f"{libraries}/*", "kafka.Kafka", str(file)],
        env={"PATH": os.defpath},
        output=home.log(name),
        cwd=home.path,
        stop_limit_s=STOP_LIMIT_S,
        orphan_signal=signal.SIGKILL,
    )


def _format(program: Program, cluster_id: str, options: Sequence[str]) -> None:
    *java, _, file = program.argv
    # With "=": an id may begin with a hyphen.
    identity = f"--cluster-id={cluster_id}"
    tool = [*java, "kafka.tools.StorageTool", "format", "--ignore-formatted", identity, *options, "-c", file]
    subprocess.run(tool, check=True, capture_output=True)
