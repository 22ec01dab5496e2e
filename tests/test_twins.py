"""Rules that stand in Python and in SQL: both give the same on the same values."""

import random
from datetime import UTC, datetime
from itertools import accumulate, islice

import psycopg
import pytest
from psycopg.rows import dict_row

from consumers.compaction.merging import cleaned
from memory.beliefs.assertions import CONFIDENCE_CEILING, noisy_or
from memory.client import MemoryClient
from memory.database import queries
from memory.language.text import turn_tokens
from memory.models import Origin, Scope
from tests.compacting import TENANT, hold

ANA = Scope(TENANT, "ana", session="s")
LATER = datetime(2100, 1, 1, tzinfo=UTC)
LETTERS = "aBz \u00e9\u00c9\u00df\u0130\u4e16\U0001f600'-"


@pytest.mark.parametrize("name", ["log.window", "past.window"])
def test_tokens_of_a_turn(client: MemoryClient, superuser: psycopg.Connection, name: str) -> None:
    for length in (*range(1, 14), 255, 256, 257):
        client.record(ANA, ("\u4e16a" * length)[:length])
    params = {"tenant": TENANT, "user": "ana", "session": "s", "agent": None}
    past = {"limit": 100, "as_of": LATER, "believed_at": LATER}
    cursor = superuser.cursor(row_factory=dict_row)
    for tokens in range(1, 240):
        given = params | past | {"tokens": tokens}
        rows = cursor.execute(queries.statement(name), given).fetchall()
        assert len(rows) == 16
        before = accumulate((turn_tokens(row["content"]) for row in rows), initial=0)
        assert [row["recent"] for row in rows] == [n < tokens for n in islice(before, 16)]


def test_confidence_of_what_is_united(client: MemoryClient, superuser: psycopg.Connection) -> None:
    held = [hold(client, ["ana"], attribute=f"speaks.{n}")[0].id for n in range(4)]
    chance = random.Random(7)
    keys = {"tenant": TENANT, "user": "ana", "memory": held[0]}
    capped = 0
    for _ in range(100):
        high = chance.choice((0.5, 1.0))
        given = [chance.uniform(0.0, high) for _ in held[: chance.randint(2, 4)]]
        superuser.execute("UPDATE memories SET believed_to = NULL, supersedes = NULL")
        for memory, confidence in zip(held, given, strict=False):
            superuser.execute(
                "UPDATE memories SET confidence = %s WHERE memory_id = %s", (confidence, memory)
            )
        united = {
            **keys,
            "older": held[1 : len(given)],
            "ceiling": CONFIDENCE_CEILING,
            "origins": list(Origin),
        }
        assert superuser.execute(queries.statement("compaction.unite"), united).fetchone()
        row = superuser.execute(
            "SELECT confidence FROM memories WHERE memory_id = %s", (held[0],)
        ).fetchone()
        assert row is not None
        assert row[0] == pytest.approx(noisy_or(given, given[0]), abs=1e-6)
        capped += noisy_or(given, given[0]) >= CONFIDENCE_CEILING
    assert 0 < capped < 100


def test_values_that_sql_takes_for_one_are_one(superuser: psycopg.Connection) -> None:
    chance = random.Random(7)
    values = ["".join(chance.choices(LETTERS, k=chance.randint(1, 3))) for _ in range(400)]
    rows = superuser.execute(
        "SELECT a.v, b.v FROM unnest(%(v)s::text[]) a(v), unnest(%(v)s::text[]) b(v)"
        " WHERE a.v <> b.v AND collective_value(a.v) = collective_value(b.v)",
        {"v": values},
    ).fetchall()
    assert len(rows) > 50
    assert [(a, b) for a, b in rows if cleaned(a) != cleaned(b)] == []
