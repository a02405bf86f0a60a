"""Start Apache Kafka on loopback: until Ctrl-C, or while a command runs against it.

`python -m tests.apache_kafka [--brokers N] [--optional] [command …]`; the command finds its address in
TEST_KAFKA_BOOTSTRAP_SERVERS. With --optional it is no failure when there is no Apache Kafka to be had here.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from reservations.app.stack.home import Home
from reservations.app.stack.programs import Program
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
            stack.enter_context(running(killed(node.program), already))
        stack.enter_context(running(killed(last.program), cluster.is_ready))
        yield cluster


def killed(program: Program) -> Program:
    """Let a broker be killed when it is to end: the last one of several would wait for others to take its place."""
    return replace(program, stop_signals=(signal.SIGKILL,))


def main() -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.apache_kafka", description=__doc__)
    parser.add_argument("--brokers", type=int, default=1)
    parser.add_argument("--optional", action="store_true")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    asked = parser.parse_args()
    try:
        libraries = fetch()
    except KafkaUnavailableError as error:
        sys.stderr.write(f"{'Not run against' if asked.command else 'There is no'} Apache Kafka: {error}\n")
        return 0 if asked.optional else 1
    with a_cluster(libraries, asked.brokers) as cluster:
        return _run(asked.command, cluster.address)


def _run(command: Sequence[str], address: str) -> int:
    if command:
        return _complete(command, os.environ | {"TEST_KAFKA_BOOTSTRAP_SERVERS": address})
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    sys.stdout.write(f"Apache Kafka is ready at {address}; Ctrl-C stops it.\n")
    sys.stdout.flush()
    signal.sigwait(ends)
    return 0


def _complete(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command to its end: it decides what a signal does. A terminal's Ctrl-C reaches it by itself."""
    with subprocess.Popen(command, env=environment) as process:
        signal.signal(signal.SIGINT, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda number, _: process.send_signal(number))
        return process.wait()


if __name__ == "__main__":
    sys.exit(main())
