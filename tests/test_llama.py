"""The model path over a real llama.cpp server.

The model has random weights, unless MEMORY_TEST_MODEL_FILE names a file of a real one: then what it
reads is checked as far as any model can be held to it.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg
import pytest
from anyio.from_thread import start_blocking_portal
from pydantic import BaseModel

from consumers.extraction import Worker
from extractors.episodes import Episodes
from extractors.language_model.asking import Asker, create_asker
from extractors.language_model.endpoint import RetryPolicy, forget_models
from extractors.language_model.extractor import LanguageModel
from extractors.language_model.ledger import ModelCall, NoLedger
from extractors.language_model.prompts import Prompt, prompts
from extractors.prompts.answers import Extracted
from memory.client import MemoryClient
from memory.database import Database, DatabaseRole
from memory.errors import ModelFailed, UnusableAnswer
from memory.models import MemoryKind, ModelTask, Scope
from memory.settings import Settings
from tests import servers
from tests.conftest import Extraction, WordEmbedder
from tests.llama_server import make_model

pytestmark = [pytest.mark.optional, pytest.mark.not_quick]

ANA = Scope("northwind", "ana", session="s1")
GIVEN = os.environ.get("MEMORY_TEST_MODEL_FILE")
CONTEXT = 16_384
PATIENT = 900.0
"""Seconds for a session: a model of some size is slow on two cores."""


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server's base URL."""
    pytest.importorskip("xllamacpp", reason="needs `pip install xllamacpp gguf`")
    folder = tmp_path_factory.mktemp("llama")
    path = Path(GIVEN) if GIVEN else folder / "random.gguf"
    if not GIVEN:
        pytest.importorskip("gguf", reason="needs `pip install xllamacpp gguf`")
        make_model(path)
    command = [sys.executable, "-m", "tests.llama_server", str(path), str(CONTEXT)]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        with process:
            try:
                assert process.stdout is not None
                address = process.stdout.readline().strip()
                assert address.startswith("http://"), (folder / "log").read_text()
                servers.used("llama.cpp", f"xllamacpp {version('xllamacpp')}, {path.name}")
                yield f"{address}/v1"
            finally:
                process.kill()


@dataclass(frozen=True)
class Calls(NoLedger):
    """Keeps the calls in memory."""

    calls: list[ModelCall] = field(default_factory=list)

    async def record(self, call: ModelCall, key: bytes | None, answer: str) -> None:
        self.calls.append(call)


class Short(BaseModel):
    """An answer that any model gives once the grammar leaves it no choice."""

    rain: bool


def asker(url: str, patience: RetryPolicy | None = None, **changes: Any) -> Asker:
    forget_models()
    given: dict[str, Any] = {"model": "openai:llama", "openai_base_url": url, **changes}
    made = create_asker(ModelTask.EXTRACT, Settings(**given), patience)
    assert made is not None
    return made


def prompt(answer: type[BaseModel]) -> Prompt:
    return Prompt("probe", "1", "0" * 64, answer, "Answer in JSON.", "")


async def ask(asking: Asker, answer: type[BaseModel], shown: str) -> ModelCall:
    """The call that a question leaves, answered or not."""
    ledger = Calls()
    try:
        await asking.keeping(ledger).ask(ANA, prompt(answer), answer, shown)
    except (ModelFailed, UnusableAnswer):
        pass
    finally:
        await asking.aclose()
    (call,) = ledger.calls
    return call


async def test_the_grammar_makes_an_answer_fit(llama: str) -> None:
    call = await ask(asker(llama), Short, "Does it rain?")
    assert (call.outcome, call.reason, call.requests) == ("answered", None, 1)
    assert call.output_tokens > 0


async def test_an_answer_that_reaches_its_limit_says_so(llama: str) -> None:
    call = await ask(asker(llama, model_answer_tokens=6), Extracted, "Does it rain?")
    assert (call.outcome, call.reason, call.requests) == ("unusable", "cut_off", 2)
    assert call.output_tokens <= 12


async def test_a_text_longer_than_the_context_says_so(llama: str) -> None:
    call = await ask(asker(llama), Short, "Does it rain? " * CONTEXT)
    assert (call.outcome, call.reason, call.requests) == ("rejected", "too_long", 1)


async def test_a_time_out_says_so(llama: str) -> None:
    long = "Does it rain? " * (CONTEXT // 18)
    call = await ask(asker(llama, RetryPolicy(answer=0.05, attempts=1)), Short, long)
    assert (call.outcome, call.reason) == ("unavailable", "timed_out")


async def test_the_schemas_of_all_prompts_are_taken_as_they_are(llama: str) -> None:
    for shipped in prompts().values():
        asking = asker(llama, model_answer_tokens=4)
        call = await ask(asking, shipped.answer, "Does it rain?")
        assert (call.reason, call.detail) == ("cut_off", ""), shipped.name


@pytest.fixture
def extraction(
    settings: Settings, url: str, embedder: WordEmbedder, llama: str
) -> Iterator[Extraction]:
    with start_blocking_portal() as portal:
        database = Database(settings, url, DatabaseRole.WORKER)
        with portal.wrap_async_context_manager(database):
            limit = 2_000 if GIVEN else 200
            asking = asker(llama, model_session_seconds=PATIENT, model_answer_tokens=limit)
            worker = Worker(database, embedder, [Episodes(), LanguageModel(asking)], settings)
            yield Extraction(portal, worker)
            portal.call(asking.aclose)


@pytest.mark.timeout(1_200)
def test_a_session_is_read_whatever_the_model_says(
    client: MemoryClient, extraction: Extraction, superuser: psycopg.Connection
) -> None:
    client.record(ANA, "I live in Berlin and work as a nurse.")
    done = extraction.drain()
    assert (done.failures, done.interactions) == (0, 1)
    assert len(client.history(ANA, kinds=[MemoryKind.EPISODE])) == 1
    row = superuser.execute(
        "SELECT c.outcome, c.reason, p.fallback_reason, p.set_aside_at"
        " FROM model_calls c JOIN session_progress p USING (tenant_id, user_id)"
    ).fetchone()
    assert row is not None
    outcome, reason, fallback, set_aside = row
    assert set_aside is None
    assert fallback == (None if outcome in ("answered", "repaired") else reason)
    if GIVEN:
        assert outcome in ("answered", "repaired"), reason
