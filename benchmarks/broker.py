"""A real Kafka broker on this machine, for tests and benchmarks: it can be killed and comes back.

    broker = launch(directory)      # through Docker, else Maven and Java; see `launch`
    broker.bootstrap                # "127.0.0.1:<port>"
    broker.kill()                   # as when the machine dies
    broker.restart()                # on the same port and the same data; returns once it answers
    broker.stop()                   # as it would be asked to stop

One broker in KRaft mode, its own controller, listening on loopback only, whose topics nobody
creates by accident. `python -m benchmarks.broker DIRECTORY` runs one until interrupted.
"""

import argparse
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Protocol, Self
from uuid import uuid4

import platformdirs

from memory.settings import APP_NAME

KAFKA = "4.1.0"
IMAGE = f"apache/kafka:{KAFKA}"
STARTING_SECONDS = 120.0
STOPPING_SECONDS = 20.0
PORTS = range(20_000, 32_000)
"""Below what outgoing connections are given, so that a port stays free while its broker is down."""
_GIVEN_OUT: set[int] = set()
"""A server takes its ports seconds after it was given them, and several are asked for at once."""

NO_PROPERTIES: Mapping[str, str] = {}

_HEAP = ("-Xms96m", "-Xmx384m")
# Quick to start rather than fast in the long run: the second compiler takes a core for seconds.
_JVM = (*_HEAP, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")
_LOGGING = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
)

_POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>broker</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>
      <version>{kafka}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"""


class NoBroker(Exception):
    """This machine has no way to run a broker; the message says what was looked for."""


class BrokerFailed(Exception):
    """A broker did not come up; the message holds the end of its log."""


class KillableBroker(Protocol):
    """What both ways of running a broker can do."""

    bootstrap: str

    def kill(self) -> None:
        """Ends it at once, with nothing written out; nothing if it is down."""

    def restart(self) -> None:
        """Starts it again after `kill` or `stop`; returns once it answers, seconds later."""

    def stop(self) -> None:
        """Lets it shut down in order, or kills it where that takes too long."""


class Broker:
    """A broker as a Java process, its data and log (`broker.log`) in one directory."""

    def __init__(self, directory: Path, port: int, properties: Mapping[str, str]) -> None:
        self.directory = directory
        self.bootstrap = f"127.0.0.1:{port}"
        self._class_path = class_path()
        self._process: subprocess.Popen[bytes] | None = None
        self._lay_out({**_properties(port, free_port(), directory / "data"), **properties})

    @classmethod
    def start(
        cls,
        directory: Path,
        *,
        port: int | None = None,
        properties: Mapping[str, str] = NO_PROPERTIES,
    ) -> Self:
        """A running broker; what `directory` holds of an earlier one is served again.

        `properties` are added to the server's, over ours. An earlier one's port must be given.

        Raises:
            NoBroker: Java or Maven is missing, or Maven cannot resolve Kafka.
            BrokerFailed: it does not answer within STARTING_SECONDS.
        """
        broker = cls(directory, port or free_port(), properties)
        broker.restart()
        return broker

    @property
    def pid(self) -> int:
        """Of the Java process; 0 while it is down."""
        return self._process.pid if self._process else 0

    def _lay_out(self, properties: Mapping[str, str]) -> None:
        data = self.directory / "data"
        data.mkdir(parents=True, exist_ok=True)
        written = "".join(f"{name}={value}\n" for name, value in properties.items())
        (self.directory / "server.properties").write_text(written, encoding="utf-8")
        # What formatting the storage would write, without a Java process of its own for it; the
        # rest of a new log's metadata is the release's own default.
        described = data / "meta.properties"
        if not described.exists():
            described.write_text(f"version=1\ncluster.id={_uuid()}\nnode.id=1\n", encoding="utf-8")

    def restart(self) -> None:
        """See `KillableBroker.restart`."""
        command = ["java", *_JVM, *_LOGGING, "-cp", self._class_path, "kafka.Kafka"]
        with (self.directory / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                [*command, str(self.directory / "server.properties")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
            )
        try:
            _wait_until_it_answers(self.bootstrap, self._fault)
        except BaseException:
            self.kill()
            raise

    def _fault(self) -> str | None:
        """Why it will not come up any more; None while it may."""
        if self._process is None or self._process.poll() is None:
            return None
        return f"the broker ended with {self._process.returncode}:\n{self._end_of_log()}"

    def _end_of_log(self) -> str:
        return (self.directory / "broker.log").read_text(errors="replace")[-2000:]

    def kill(self) -> None:
        """See `KillableBroker.kill`."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """See `KillableBroker.stop`."""
        if self._process is not None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOPPING_SECONDS)
        self.kill()


class ContainerBroker:
    """A broker in a container of Apache's own image, its data in the container."""

    def __init__(self, port: int, properties: Mapping[str, str]) -> None:
        from testcontainers.core.container import DockerContainer

        self.bootstrap = f"127.0.0.1:{port}"
        inside = {**_properties(port, PORTS.stop, Path("/tmp/data")), **properties}  # noqa: S108
        # The port is published on loopback alone, so inside it may listen everywhere.
        inside["listeners"] = f"PLAINTEXT://:{port},CONTROLLER://:{PORTS.stop}"
        self._container: Any = DockerContainer(IMAGE)
        self._container.with_kwargs(ports={f"{port}/tcp": ("127.0.0.1", port)})
        for name, value in inside.items():
            self._container.with_env(f"KAFKA_{name.upper().replace('.', '_')}", value)

    @classmethod
    def start(
        cls, *, port: int | None = None, properties: Mapping[str, str] = NO_PROPERTIES
    ) -> Self:
        """A running broker in a container of its own.

        Raises:
            BrokerFailed: it does not answer within STARTING_SECONDS.
        """
        broker = cls(port or free_port(), properties)
        broker._container.start()
        _wait_until_it_answers(broker.bootstrap, lambda: None)
        return broker

    def kill(self) -> None:
        """See `KillableBroker.kill`."""
        self._container.get_wrapped_container().kill()

    def restart(self) -> None:
        """See `KillableBroker.restart`."""
        self._container.get_wrapped_container().start()
        _wait_until_it_answers(self.bootstrap, lambda: None)

    def stop(self) -> None:
        """Removes the container, and its data with it."""
        self._container.stop()


def launch(
    directory: Path,
    *,
    port: int | None = None,
    properties: Mapping[str, str] = NO_PROPERTIES,
) -> KillableBroker:
    """A running broker: through Docker where an engine answers, else through Maven and Java.

    Raises:
        NoBroker: neither is here; the message says what is missing of each.
        BrokerFailed: it does not answer within STARTING_SECONDS.
    """
    missing = docker_missing()
    if missing is None:
        return ContainerBroker.start(port=port, properties=properties)
    try:
        return Broker.start(directory, port=port, properties=properties)
    except NoBroker as error:
        raise NoBroker(f"{missing}; {error}") from error


def docker_missing() -> str | None:
    """Why a container cannot be run here; None where one can."""
    try:
        from docker.errors import DockerException
        from testcontainers.core.docker_client import DockerClient
    except ModuleNotFoundError as error:
        return f"package {error.name!r} is not installed"
    try:
        DockerClient().client.ping()
    except DockerException:
        return "no Docker engine answers"
    return None


def class_path() -> str:
    """Kafka's jars for `java -cp`, resolved by Maven once and then remembered.

    Raises:
        NoBroker: Java or Maven is missing, or Maven cannot resolve Kafka.
    """
    if shutil.which("java") is None:
        raise NoBroker("Java is not installed")
    remembered = Path(platformdirs.user_cache_dir(APP_NAME)) / f"kafka-{KAFKA}.classpath"
    if remembered.is_file():
        jars = remembered.read_text(encoding="utf-8").strip()
        if all(Path(jar).is_file() for jar in jars.split(os.pathsep)):
            return jars
    jars = _resolved()
    remembered.parent.mkdir(parents=True, exist_ok=True)
    fresh = remembered.with_suffix(f".{os.getpid()}")
    fresh.write_text(jars, encoding="utf-8")
    fresh.replace(remembered)
    return jars


def _resolved() -> str:
    maven = shutil.which("mvn")
    if maven is None:
        raise NoBroker("Maven is not installed")
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "pom.xml").write_text(_POM.format(kafka=KAFKA), encoding="utf-8")
        found = Path(directory, "class_path")
        command = [maven, "-q", "-B", "dependency:build-classpath", f"-Dmdep.outputFile={found}"]
        done = subprocess.run(  # noqa: S603 - our own command
            command, cwd=directory, capture_output=True, text=True, check=False
        )
        if done.returncode or not found.is_file():
            raise NoBroker(f"Maven cannot resolve Kafka {KAFKA}: {done.stdout[-500:]}")
        return found.read_text(encoding="utf-8").strip()


def free_port() -> int:
    """A port on loopback that nobody listens on; this process gets another one each time."""
    untried = [port for port in PORTS if port not in _GIVEN_OUT]
    for port in random.sample(untried, min(100, len(untried))):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _GIVEN_OUT.add(port)
            return port
    raise NoBroker(f"no port is free between {PORTS.start} and {PORTS.stop}")


def _properties(port: int, controller: int, data: Path) -> dict[str, str]:
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "log.dirs": str(data),
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "1",
        "group.initial.rebalance.delay.ms": "0",
        # One that was killed is let in again once its earlier self is taken for dead.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        "log.cleaner.dedupe.buffer.size": str(4 * 1024 * 1024),  # a third of the heap otherwise
        "num.io.threads": "2",
        "num.network.threads": "2",
        "background.threads": "2",
    }


def _wait_until_it_answers(bootstrap: str, fault: Callable[[], str | None]) -> None:
    deadline = monotonic() + STARTING_SECONDS
    while not _answers(bootstrap):
        if (reason := fault()) is not None:
            raise BrokerFailed(reason)
        if monotonic() > deadline:
            raise BrokerFailed(f"no broker answers at {bootstrap!r} after {STARTING_SECONDS} s")
        sleep(0.1)


def _answers(bootstrap: str) -> bool:
    from kafka import KafkaAdminClient
    from kafka.errors import KafkaError

    host, _, port = bootstrap.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
        with KafkaAdminClient(bootstrap_servers=bootstrap, bootstrap_timeout_ms=5000) as admin:
            return bool(admin.describe_cluster()["brokers"])
    except (OSError, KafkaError):
        return False


def _uuid() -> str:
    return urlsafe_b64encode(uuid4().bytes).decode().rstrip("=")


def main() -> None:
    parser = argparse.ArgumentParser(description="Run one Kafka broker until interrupted.")
    parser.add_argument("directory", type=Path, help="where it keeps its data")
    parser.add_argument("--port", type=int)
    given = parser.parse_args()
    broker = Broker.start(given.directory.resolve(), port=given.port)
    print(broker.bootstrap, flush=True)
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    try:
        signal.sigwait(ends)
    finally:
        broker.stop()


if __name__ == "__main__":
    main()
