"""Contradictions that nothing decides, as callers meet them: kept, marked, and decided later."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from memory.client import MemoryClient
from memory.models import MemoryKind, Scope
from memory.settings import Settings
from tests.compacting import compactor
from tests.conftest import Extraction, WordEmbedder

ANA = Scope("northwind", "ana", "scout", "s1")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def lives(client: MemoryClient) -> dict[str | None, tuple[str, ...]]:
    """Where Ana lives, and what contests it."""
    return {m.value: m.contested for m in client.history(ANA, attribute="lives_in")}


@pytest.fixture
def disputed(client: MemoryClient, worker: Extraction) -> MemoryClient:
    """Two systems that know of one moment, and disagree."""
    client.record(ANA, "I live in Berlin.", id="m1", occurred_at=NOON)
    worker.drain()
    client.record(ANA.in_session("s2"), "I live in Munich.", id="m2", occurred_at=NOON)
    worker.drain()
    return client


def test_both_are_believed_and_name_each_other(disputed: MemoryClient) -> None:
    assert lives(disputed) == {"berlin": ("munich",), "munich": ("berlin",)}
    contested = disputed.history(ANA, contested=True)
    assert {m.value for m in contested} == {"berlin", "munich"}
    assert any("(2026-03-02; disputed: munich)" in str(m) for m in contested)


def test_what_was_undisputed_before_says_so(disputed: MemoryClient) -> None:
    past = [m for m in disputed.history(ANA, attribute="lives_in", closed=True) if m.believed_to]
    assert [(m.value, m.contested) for m in past] == [("berlin", ())]


def test_recall_and_context_tell_the_reader(disputed: MemoryClient) -> None:
    facts = disputed.recall(ANA, "Where does she live?", kinds=[MemoryKind.FACT])
    assert {i.memory.contested for i in facts} == {("munich",), ("berlin",)}
    context = disputed.context(Scope("northwind", "ana"), "Where does she live?")
    lines = [line for section in context.sections for line in section.lines]
    told = [line for line in lines if "disputed" in line]
    assert told
    assert all("(since 2026-03-02; disputed: " in line for line in told)
    items = {tuple(i["contested"]) for i in json.loads(context.json())["items"]}
    assert items - {()}


def test_newer_evidence_decides(disputed: MemoryClient, worker: Extraction) -> None:
    later = NOON + timedelta(days=3)
    disputed.record(ANA, "I live in Munich.", id="m3", occurred_at=later)
    worker.drain()
    assert lives(disputed) == {"munich": ()}
    assert disputed.history(ANA, contested=True) == []
    marked = disputed.history(ANA, contested=True, closed=True)
    assert {m.value for m in marked} == {"berlin", "munich"}


def test_within_a_session_the_later_is_a_correction(
    client: MemoryClient, worker: Extraction
) -> None:
    for number, place in enumerate(["Berlin", "Munich"]):
        client.record(ANA, f"I live in {place}.", id=f"m{number}", occurred_at=NOON)
    worker.drain()
    assert lives(client) == {"munich": ()}


def test_verification_takes_a_dispute_for_what_it_is(
    disputed: MemoryClient, settings: Settings
) -> None:
    (report,) = compactor(settings, WordEmbedder())("verify", repair=True)
    assert report.found == 0
    assert lives(disputed) == {"berlin": ("munich",), "munich": ("berlin",)}
