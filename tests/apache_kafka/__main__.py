"""Start Apache Kafka on loopback: until Ctrl-C, or while a command runs against it.

`python -m tests.apache_kafka [--brokers N] [command …]`; the command finds its address in TEST_KAFKA_BOOTSTRAP_SERVERS.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from reservations.app.stack.home import Home
from tests.apache_kafka.cluster import Cluster, prepare
from tests.apache_kafka.libraries import KafkaUnavailableError, fetch
from tests.servers import already, running


@contextmanager
def a_cluster(libraries: Path, count: int) -> Iterator[Cluster]:
    """Give a cluster that runs until the block ends."""
    with tempfile.TemporaryDirectory(prefix="kafka-") as folder, ExitStack() as stack:
        cluster = prepare(Home(Path(folder)), libraries, count)
        *others, last = cluster.nodes
        for node in others:
            stack.enter_context(running(node.program, already))
        stack.enter_context(running(last.program, cluster.is_ready))
        yield cluster


def main() -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.apache_kafka", description=__doc__)
    parser.add_argument("--brokers", type=int, default=1)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    asked = parser.parse_args()
    try:
        libraries = fetch()
    except KafkaUnavailableError as error:
        sys.stderr.write(f"No Apache Kafka: {error}\n")
        return 1
    with a_cluster(libraries, asked.brokers) as cluster:
        return _run(asked.command, cluster.address)


def _run(command: Sequence[str], address: str) -> int:
    if command:
        environment = os.environ | {"TEST_KAFKA_BOOTSTRAP_SERVERS": address}
        return subprocess.run(command, env=environment, check=False).returncode
    sys.stdout.write(f"Apache Kafka is ready at {address}; Ctrl-C stops it.\n")
    sys.stdout.flush()
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
    return 0


if __name__ == "__main__":
    sys.exit(main())
