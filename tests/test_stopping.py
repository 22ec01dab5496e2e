"""SIGTERM: what is under way is finished or rolled back, and leases are released."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psycopg
import pytest

from consumers.ingest.options import IngestOptions
from consumers.ingest.running import Ingest
from consumers.ingest.store import IngestStore
from memory.client import MemoryClient
from memory.models import Scope
from tests.ingesting import DEADLINE, Stream, said, until
from tests.kafka_topics import kafka_settings
from tests.stopped import own_server

pytestmark = pytest.mark.slow

ANA = Scope("northwind", "ana", "scout", "s1")
HERE = str(Path(__file__).parent)

SLOW = f"""
import sys; sys.path.insert(0, {HERE!r})
import anyio, conftest, consumers.store as store

class Slow(conftest.Verbatim):
    async def extract(self, log):
        print("reading", file=sys.stderr, flush=True)
        await anyio.sleep_forever()

store.create_embedder = lambda _: conftest.WordEmbedder()
store.installed_extractors = lambda _: [Slow()]
from consumers.__main__ import main; main()
"""
"""The `memory` command with an extractor that does not end."""


@pytest.mark.parametrize(("follow", "code"), [(True, 0), (False, 1)])
def test_extraction_releases_its_users_and_says_what_it_did(
    client: MemoryClient, url: str, superuser: psycopg.Connection, *, follow: bool, code: int
) -> None:
    client.record(ANA, "Hello.")
    words = ["extract", "--json", *(["--follow"] if follow else [])]
    with subprocess.Popen(
        [sys.executable, "-c", SLOW, *words],
        env={**os.environ, "MEMORY_DATABASE_URL": url, "MEMORY_DEBOUNCE": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "reading" in line:
                break
        leased = "SELECT FROM users WHERE lease_token IS NOT NULL"
        assert superuser.execute(leased).rowcount == 1
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=DEADLINE)
    assert process.returncode == code
    assert json.loads(out)["interactions"] == 0
    assert superuser.execute(leased).rowcount == 0
    assert superuser.execute("SELECT FROM users WHERE due_at <= now()").rowcount == 1


def test_ingestion_ends_although_the_store_is_silent(
    kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers nothing more in the middle of a batch, which another process reads again."""
    with own_server() as server:
        settings = kafka_settings(kafka, server.url, partitions=1)
        stream, applying, apply = Stream(settings, server.url), threading.Event(), IngestStore.apply

        def silent(self: IngestStore, *batch: object) -> object:
            paused.__enter__()
            applying.set()
            return apply(self, *batch)  # type: ignore[arg-type]

        paused = server.paused()
        monkeypatch.setattr(IngestStore, "apply", silent)
        ingest = Ingest(settings, lambda: server.url, IngestOptions(group=stream.topic))
        thread = threading.Thread(target=ingest.run, daemon=True)
        thread.start()
        stream.send(said("m1"))
        try:
            assert applying.wait(DEADLINE)
            ingest.stop()
            thread.join(DEADLINE)
            assert not thread.is_alive()
        finally:
            paused.__exit__(None, None, None)
        monkeypatch.setattr(IngestStore, "apply", apply)
        until(lambda: stream.drain().records <= 1 and len(stream.log()) == 1, "it is in the log")
