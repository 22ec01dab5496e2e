"""The walk: one interaction from `record()` to a cited context, and what each step leaves behind.

Read this first. Each step is one call of the client, or one turn of the worker, on a real server.
"""

import json
from datetime import UTC, datetime

import psycopg

from memory.client import MemoryClient
from memory.models import InteractionKind, MemoryKind, Role, Scope, Tier
from tests.conftest import Extraction

ANA = Scope("northwind", "ana", session="monday")
MARCH = datetime(2026, 3, 2, 9, tzinfo=UTC)
APRIL = datetime(2026, 4, 13, 9, tzinfo=UTC)


def test_the_walk(client: MemoryClient, worker: Extraction, superuser: psycopg.Connection) -> None:
    # An app records what happens. The receipt says where in the log it stands.
    said = client.record(ANA, "Hello! I live in Berlin.", id="m1", occurred_at=MARCH)
    assert (said.interaction_id, said.ordinal, said.position) == ("m1", 1, 1)
    client.record(ANA, "Noted.", id="m2", role=Role.ASSISTANT, occurred_at=MARCH)
    client.record(
        ANA, "", id="m3", kind=InteractionKind.TOOL_CALL, role=Role.ASSISTANT,
        payload={"tool": "search_flats", "city": "Berlin"}, occurred_at=MARCH,
    )  # fmt: skip

    # Recorded twice is recorded once.
    again = client.record(ANA, "Hello! I live in Berlin.", id="m1", occurred_at=MARCH)
    assert again.duplicate
    assert again.position == 1

    # The next context holds it at once: working memory is read straight from the log.
    context = client.context(ANA, "Where does the user live?", budget=300)
    assert [turn.id for turn in context.turns] == ["m1", "m2", "m3"]
    assert context.items == ()
    assert context.position == 3

    # A worker leases the user, runs the extractors, and commits memories with its progress.
    done = worker.drain()
    assert (done.users, done.sessions, done.interactions) == (1, 1, 3)
    assert done.memories == {"residence": 1, "verbatim": 2}
    position = client.position(ANA)
    assert (position.recorded, position.extracted) == (3, 3)

    # What was said later, in another session, supersedes what was believed.
    later = ANA.in_session("april")
    client.record(later, "I live in Munich now.", id="m4", occurred_at=APRIL)
    worker.drain()
    munich, berlin = client.history(ANA, attribute="lives_in")
    assert (munich.value, munich.valid_from, munich.valid_to) == ("munich", APRIL, None)
    assert (berlin.value, berlin.valid_from, berlin.valid_to) == ("berlin", MARCH, APRIL)

    # Nothing was updated in place: what was believed before is still there, closed.
    believed = [m for m in client.history(ANA, attribute="lives_in", closed=True) if m.believed_to]
    assert [(m.value, m.valid_to) for m in believed] == [("berlin", None)]
    assert berlin.supersedes == believed[0].id

    # Recall ranks long-term memories; each cites the interactions it rests on.
    found = client.recall(ANA, "Where does the user live?", kinds=[MemoryKind.FACT])
    assert found.position == 4
    assert {(item.memory.value, item.citations) for item in found} == {
        ("munich", ("m4",)),
        ("berlin", ("m1",)),
    }

    # A memory explains itself: the words it rests on, what made it, what it replaced.
    why = client.explain(ANA, munich.id)
    assert [(e.interaction_id, e.quote) for e in why.evidence] == [("m4", "I live in Munich")]
    assert why.memory.provenance.extractor == "residence"

    # A context for a new conversation fits its budget, and every citation leads to the log.
    fresh = ANA.in_session("may")
    context = client.context(fresh, "Which city does the user live in?", budget=200)
    assert context.tokens <= 200
    assert "Munich" in context.text
    cited = {i for citation in context.citations for i in citation.interaction_ids}
    known = {row[0] for row in superuser.execute("SELECT interaction_id FROM interactions")}
    assert cited
    assert cited <= known
    assert all(f"[{citation.marker}]" in context.text for citation in context.citations)
    assert {citation.tier for citation in context.citations} == {Tier.LONG_TERM}

    # The same context as prompt text, as chat messages, and as JSON.
    assert str(context) == context.text
    assert context.messages()[0] == {"role": "system", "content": context.text}
    assert json.loads(context.json())["items"][0]["interactions"]

    # Forgetting the move takes it out of log and memory, and Berlin is true again.
    client.forget(ANA, memory=munich.id)
    (home,) = client.history(ANA, attribute="lives_in")
    assert (home.value, home.valid_from, home.valid_to) == ("berlin", MARCH, None)
    assert "Munich" not in client.context(fresh, "Which city?", budget=500).text
