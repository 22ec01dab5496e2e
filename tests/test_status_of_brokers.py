"""What `memory status` says where brokers are configured and do not answer."""

import json
from collections.abc import Sequence

import pytest
from click.testing import CliRunner, Result

from benchmarks.broker import free_port
from consumers.cli.application import memory
from consumers.ingest import lag
from memory.client import MemoryClient
from memory.errors import UnknownTopic
from tests.ingesting import ANA


@pytest.fixture
def away(url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a broker that is away, as configured."""
    brokers = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("MEMORY_DATABASE_URL", url)
    monkeypatch.setenv("MEMORY_KAFKA_SERVERS", brokers)
    monkeypatch.setattr(lag, "LOOK_SECONDS", 0.5)
    return brokers


def status(*options: str) -> Result:
    return CliRunner().invoke(memory, ["status", *options])


@pytest.mark.parametrize("options", [(), ("--max-ingest-lag", "60")])
def test_it_names_the_brokers_and_ends_as_unavailable(away: str, options: Sequence[str]) -> None:
    found = status(*options)
    assert found.exit_code == 4
    assert f"error: brokers {away}: no answer" in found.stderr
    assert "memory extract" not in found.stderr
    assert "inf" not in found.stderr
    assert f"no answer from {away}" in " ".join(found.stdout.split())


def test_the_document_has_the_reason_and_the_brokers(away: str) -> None:
    found = status("--json", "--max-ingest-lag", "60")
    assert found.exit_code == 4
    ingest = json.loads(found.stdout)["ingest"]
    assert ingest["brokers"] == [away]
    assert f"no answer from {away}" in ingest["unknown"]
    assert ingest["passing"]


def test_a_bound_that_is_passed_comes_first(client: MemoryClient, away: str) -> None:
    client.record(ANA, "I live in Berlin.")
    found = status("--max-waiting", "0", "--max-ingest-lag", "60")
    assert found.exit_code == 1
    assert "waiting 1 interactions" in found.stderr
    assert "ingest lag" not in found.stderr


def test_a_missing_topic_is_a_matter_of_configuration(
    away: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> None:
        raise UnknownTopic(f"no topic at {away}")

    monkeypatch.setattr(lag, "_behind", missing)
    found = status()
    assert found.exit_code == 3
    assert "no topic at" in found.stderr
