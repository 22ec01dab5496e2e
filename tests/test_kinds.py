"""A kind of memory is one row of `KIND_TRAITS`: nothing else tells one kind from another."""

import ast
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from memory.beliefs import assertions
from memory.beliefs.assertions import belief_key
from memory.context import packing, rendering
from memory.context.packing import Packing
from memory.context.rendering import EPISODES, PROFILE, WORKFLOWS, title_of
from memory.database import queries
from memory.language.questions import understood
from memory.models import (
    KIND_TRAITS,
    PUBLISHABLE_KINDS,
    VERBATIM_KINDS,
    Candidate,
    Evidence,
    KindTraits,
    Memory,
    MemoryKind,
    Provenance,
    RecalledMemory,
    Tier,
)

ROOT = Path(__file__).parent.parent
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)

NAMED_IN_SQL = {
    "compaction.replace_summaries": "ends the summaries of the session that is summarised anew",
    "collective.groups": "counts procedures that an agent's own acts found",
    "leases.fallback_users": "finds the users whose summaries were written without the model",
    "leases.reopen": "opens the sessions whose summaries were written without the model",
    "generations.unsummarised": "finds the sessions that are still to be summarised",
}
"""Statements that are about one kind and no other, and why."""


def compared(module: Path) -> Iterator[str]:
    """Where a module asks for a kind by name: in a comparison, a `case` or the key of a table."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        asked: list[ast.AST] = []
        if isinstance(node, ast.Compare):
            asked = [node]
        elif isinstance(node, ast.MatchValue):
            asked = [node.value]
        elif isinstance(node, ast.Dict):
            asked = [key for key in node.keys if key is not None]
        named = [
            part for part in asked for part in ast.walk(part) if isinstance(part, ast.Attribute)
        ]
        if any(isinstance(n.value, ast.Name) and n.value.id == "MemoryKind" for n in named):
            yield f"{module.relative_to(ROOT)}: {ast.unparse(node)}"


def listed(connection: psycopg.Connection, table: str) -> set[str]:
    """The kinds that a table's CHECK lets in."""
    (check,) = connection.execute(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'c'"
        " AND conrelid = %s::regclass AND pg_get_constraintdef(oid) ~ '\\mkind\\M'",
        [f"memory.{table}"],
    ).fetchall()
    return set(re.findall(r"'(\w+)'", check[0]))


class TestTable:
    def test_has_a_row_for_each_kind(self) -> None:
        assert list(KIND_TRAITS) == list(MemoryKind)

    def test_the_database_lets_in_the_same_kinds(self, superuser: psycopg.Connection) -> None:
        assert listed(superuser, "memories") == set(MemoryKind)
        assert listed(superuser, "collective_memories") == set(PUBLISHABLE_KINDS)

    def test_what_repeats_somebodys_words_is_never_published(self) -> None:
        assert set(VERBATIM_KINDS).isdisjoint(PUBLISHABLE_KINDS)


class TestNobodyElseAsks:
    def test_no_module_compares_kinds_by_name(self) -> None:
        modules = [
            m for p in ("memory", "extractors", "consumers") for m in (ROOT / p).rglob("*.py")
        ]
        found = [place for module in sorted(modules) for place in compared(module)]
        assert [place for place in found if not place.startswith("memory/models.py: ")] == []
        assert len(found) == 1  # the table itself, so such places are found

    def test_no_statement_compares_kinds_by_name(self) -> None:
        assert set(naming_kinds(queries.load())) == set(NAMED_IN_SQL)

    def test_no_function_of_the_schema_does(self, superuser: psycopg.Connection) -> None:
        bodies = superuser.execute(
            "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'memory'::regnamespace"
        ).fetchall()
        assert naming_kinds(dict(bodies)) == []


def naming_kinds(texts: Mapping[str, str]) -> list[str]:
    """The names of those texts of SQL that spell out a kind of memory."""
    kind = re.compile(rf"'(?:{'|'.join(MemoryKind)})'")
    return [name for name, text in texts.items() if kind.search(text)]


def candidate(text: str) -> Candidate:
    said = Evidence("m1", "I ride to work", 0, 14, NOON)
    return Candidate(MemoryKind.FACT, text, (said,), NOON)


def recalled(kind: MemoryKind = MemoryKind.FACT) -> RecalledMemory:
    memory = Memory(1, Tier.LONG_TERM, kind, "Ana rides to work.", NOON, Provenance("test", "1"))
    return RecalledMemory(memory, 1.0, ("m1",), 5)


class TestRows:
    """What a row says is what happens, shown by giving facts another row."""

    def given(self, monkeypatch: pytest.MonkeyPatch, traits: KindTraits) -> None:
        for module in (assertions, packing, rendering):
            monkeypatch.setattr(module, "KIND_TRAITS", {**KIND_TRAITS, MemoryKind.FACT: traits})

    def test_of_what_is_verbatim_a_place_has_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        two = [candidate("Ana rides to work."), candidate("Ana has a bicycle.")]
        assert len({belief_key(c, None) for c in two}) == 2
        self.given(monkeypatch, KindTraits("profile", verbatim=True))
        assert len({belief_key(c, None) for c in two}) == 1

    def test_it_stands_in_its_section(self, monkeypatch: pytest.MonkeyPatch) -> None:
        titles = set()
        for section in ("profile", "workflows", "episodes"):
            self.given(monkeypatch, KindTraits(section))
            titles.add(title_of(recalled()))
        assert titles == {PROFILE, WORKFLOWS, EPISODES}

    @pytest.mark.parametrize("governs", [True, False])
    def test_what_governs_goes_first_for_a_request(
        self, monkeypatch: pytest.MonkeyPatch, governs: bool
    ) -> None:
        self.given(monkeypatch, KindTraits("profile", governs=governs))
        request = understood("Write a letter to the landlord.")
        assert request.request
        assert Packing(request, len, 500)._governs(recalled(), PROFILE) is governs
