"""What contexts showed is noted, and no context waits for that."""

from collections.abc import Iterator

import psycopg
import pytest

from memory.beliefs import usage
from memory.client import MemoryClient
from memory.context.assembly import Context
from memory.embedding import Embedder
from memory.models import Scope
from memory.settings import Settings
from tests.conftest import Extraction

ANA = Scope("northwind", "ana", session="s1")
NOTED = "SELECT memory_id, uses FROM memory_usage ORDER BY memory_id"


@pytest.fixture
def asking(
    settings: Settings, embedder: Embedder, worker: Extraction, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MemoryClient]:
    """A client that knows where Ana lives, and writes each note at once."""
    monkeypatch.setattr(usage, "WAITING", 1)
    with MemoryClient(settings, embedder=embedder) as client:
        client.record(ANA, "I live in Berlin.")
        worker.drain()
        yield client


def asked(client: MemoryClient) -> Context:
    found = client.context(ANA.in_session("s2"), "Where does she live?")
    assert found.items
    return found


def test_a_context_does_not_wait_for_its_notes(
    asking: MemoryClient, url: str, superuser: psycopg.Connection
) -> None:
    with psycopg.connect(url) as locking:
        locking.execute("LOCK TABLE memory.memory_usage IN EXCLUSIVE MODE")
        shown = {item.memory.id for item in asked(asking).items}
        assert {item.memory.id for item in asked(asking).items} == shown
        assert superuser.execute(NOTED).fetchall() == []
    asking.close()
    noted = superuser.execute(NOTED).fetchall()
    assert {memory for memory, _ in noted} == shown
    assert all(1 <= times <= 2 for _, times in noted)


def test_nor_does_it_fail_with_them(
    asking: MemoryClient, superuser: psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    superuser.execute("REVOKE INSERT ON memory_usage FROM memory_client")
    asked(asking)
    asked(asking)
    asking.close()
    assert "is not noted" in caplog.text
    assert superuser.execute(NOTED).fetchall() == []
