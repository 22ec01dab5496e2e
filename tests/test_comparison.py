"""What another generation would change, and how memories bear looking at."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.cli import html_report
from consumers.extraction.model_ledger import PostgresLedger
from consumers.generations.quality import (
    MEMORIES_EACH,
    USERS_AT_ONCE,
    Quality,
    sampled,
)
from consumers.generations.registry import find_generation
from consumers.operations.status import read_status
from consumers.replay.comparison import (
    Compare,
    Comparison,
    EvaluationQuestion,
    GenerationQuality,
    MemoryChange,
    differences,
    measures,
    read_questions,
)
from extractors.language_model.ledger import ModelCall, Outcome
from extractors.language_model.prompts import prompts
from extractors.protocol import Extractor
from memory.client import MemoryClient
from memory.errors import InvalidInput
from memory.models import MemoryKind, ModelTask, Scope
from memory.recall.search import Recaller
from memory.settings import Settings
from tests.conftest import Residence, WordEmbedder
from tests.replaying import ANA, TOM, House, moved, opened

DAY = datetime(2026, 1, 1, tzinfo=UTC)


def row(generation: int, **changes: Any) -> dict[str, Any]:
    made = {
        "generation": generation, "memory_id": 1, "belief_key": b"k", "kind": "fact",
        "text": "Lives in Oslo", "attribute": "lives_in", "value": "oslo", "subject": None,
        "context": None, "single_valued": True, "agent_id": None, "valid_from": DAY,
        "valid_to": None, "contested": [], "extractor": "residence", "extractor_version": "1",
    }  # fmt: skip
    return made | changes


def told(*rows: dict[str, Any]) -> list[tuple[MemoryChange, str | None, str | None]]:
    _, found = differences(ANA, 1, sorted(rows, key=lambda r: (r["belief_key"], r["valid_from"])))
    return [
        (d.change, d.before.text if d.before else None, d.after.text if d.after else None)
        for d in found
    ]


BERLIN = {"text": "Lives in Berlin", "value": "berlin"}
MANY = {"attribute": "speaks", "single_valued": False}


class TestDifferences:
    def test_the_same_is_no_difference(self) -> None:
        assert told(row(1), row(2, memory_id=9, extractor="other")) == []

    @pytest.mark.parametrize(
        ("rows", "change"),
        [
            ([row(1)], (MemoryChange.LOST, "Lives in Oslo", None)),
            ([row(2)], (MemoryChange.ADDED, None, "Lives in Oslo")),
            (
                [row(1), row(2, **BERLIN)],
                (MemoryChange.CHANGED, "Lives in Oslo", "Lives in Berlin"),
            ),
            (
                [row(1), row(2, text="Is in Oslo")],
                (MemoryChange.CHANGED, "Lives in Oslo", "Is in Oslo"),
            ),
            (
                [row(1), row(2, valid_from=DAY - timedelta(1))],
                (MemoryChange.REDATED, "Lives in Oslo", "Lives in Oslo"),
            ),
            (
                [row(1), row(2, valid_to=DAY)],
                (MemoryChange.REDATED, "Lives in Oslo", "Lives in Oslo"),
            ),
        ],
    )
    def test_one_of_each(self, rows: list[dict[str, Any]], change: tuple[Any, ...]) -> None:
        assert told(*rows) == [change]

    def test_one_of_many_values_is_no_change_of_another(self) -> None:
        rows = [
            row(1, text="Speaks Thai", value="thai", **MANY),
            row(2, text="Speaks Greek", value="greek", **MANY),
        ]
        assert told(*rows) == [
            (MemoryChange.LOST, "Speaks Thai", None),
            (MemoryChange.ADDED, None, "Speaks Greek"),
        ]

    def test_each_is_paired_with_what_it_is_closest_to(self) -> None:
        rows = [
            row(1, **BERLIN, valid_to=DAY + timedelta(5)),
            row(1, valid_from=DAY + timedelta(5)),
            row(2, **BERLIN, valid_to=DAY + timedelta(7)),
            row(2, valid_from=DAY + timedelta(7)),
            row(2, text="Lives in Rome", value="rome", valid_from=DAY + timedelta(9)),
        ]
        assert told(*rows) == [
            (MemoryChange.REDATED, "Lives in Berlin", "Lives in Berlin"),
            (MemoryChange.REDATED, "Lives in Oslo", "Lives in Oslo"),
            (MemoryChange.ADDED, None, "Lives in Rome"),
        ]

    def test_a_value_of_another_kind_is_another_memory(self) -> None:
        changes = {change for change, _, _ in told(row(1), row(2, kind="preference"))}
        assert changes == {MemoryChange.LOST, MemoryChange.ADDED}

    MEMORIES = st.lists(
        st.builds(
            row,
            st.sampled_from([1, 2]),
            belief_key=st.sampled_from([b"k", b"l"]),
            value=st.sampled_from(["oslo", "rome", None]),
            text=st.sampled_from(["a", "b"]),
            valid_from=st.sampled_from([DAY, DAY + timedelta(1)]),
            single_valued=st.booleans(),
        ),
        max_size=12,
    )

    @given(MEMORIES)
    def test_every_memory_is_told_of_once(self, rows: list[dict[str, Any]]) -> None:
        for number, each in enumerate(rows):
            each["memory_id"] = number
        rows.sort(key=lambda r: (r["belief_key"], r["valid_from"]))
        same, found = differences(ANA, 1, rows)
        shared = sum(same.values())
        ours = [d.before.memory for d in found if d.before]
        theirs = [d.after.memory for d in found if d.after]
        assert len(ours) == len(set(ours)) == sum(r["generation"] == 1 for r in rows) - shared
        assert len(theirs) == len(set(theirs)) == sum(r["generation"] == 2 for r in rows) - shared

    @given(MEMORIES)
    def test_the_other_way_round_it_is_the_reverse(self, rows: list[dict[str, Any]]) -> None:
        rows.sort(key=lambda r: (r["belief_key"], r["valid_from"]))
        reverse = {MemoryChange.ADDED: MemoryChange.LOST, MemoryChange.LOST: MemoryChange.ADDED}
        same, there = differences(ANA, 1, rows)
        back_same, back = differences(ANA, 2, rows)
        counts = sorted(reverse.get(d.change, d.change) for d in back)
        assert (same, sorted(d.change for d in there)) == (back_same, counts)


@pytest.fixture
def house(
    settings: Settings, url: str, embedder: WordEmbedder, extractors: list[Extractor]
) -> Iterator[House]:
    with opened(settings, url, embedder, extractors) as house:
        yield house


def compared(
    house: House, before: str = "first", after: str = "next", **options: Any
) -> Comparison:
    async def run() -> Comparison:
        compare = Compare(
            house.database,
            await find_generation(house.database, before),
            await find_generation(house.database, after),
            language="english",
            examples=options.pop("examples", 5),
        )
        asked = options.pop("questions", [])
        done = await compare.run(**options)
        if asked:
            long_term = house.worker.long_term
            recaller = Recaller(house.database, long_term, long_term.embedder, "english")
            await compare.ask(recaller, asked)
        return done

    return house.portal.call(run)


def asked(house: House, generation: str, cost: float) -> None:
    """A model call of ANA's for a generation, as the ledger keeps it."""

    async def run() -> None:
        found = await find_generation(house.database, generation)
        prompt = next(iter(prompts().values()))
        ledger = PostgresLedger(house.database, generation=found.id)
        call = ModelCall(
            ANA, ModelTask.EXTRACT, prompt, "tiny", Outcome.ANSWERED,
            requests=1, input_tokens=70, output_tokens=7, cost=cost,
        )  # fmt: skip
        await ledger.record(call, None, "")

    house.portal.call(run)


def test_a_comparison_says_what_each_generation_cost(house: House, client: MemoryClient) -> None:
    moved(client)
    house.drain()
    house.replay()
    assert compared(house).after.spent is None
    asked(house, "next", 0.25)
    asked(house, "next", 0.5)
    done = compared(house)
    assert done.before.spent is None
    spent = done.after.spent
    assert spent is not None
    assert (spent.calls, spent.input_tokens, spent.output_tokens, spent.cost) == (2, 140, 14, 0.75)
    told = {name: (before, after) for name, before, after in measures(done)}
    assert told["tokens"] == ("0 in, 0 out", "140 in, 14 out")
    assert told["cost"] == ("0.0000", "0.7500")


class TestComparing:
    def test_the_same_extractors_make_no_difference(
        self, client: MemoryClient, house: House
    ) -> None:
        for scope in (ANA, TOM):
            moved(client, scope)
        house.drain()
        house.replay()
        done = compared(house)
        assert (done.users, done.different, done.examples) == (2, 0, [])
        assert done.same == {MemoryKind.EPISODE: 6, MemoryKind.FACT: 6}
        assert done.before == replace(done.after, generation="first")

    def test_other_extractors_are_told_memory_by_memory(
        self, client: MemoryClient, house: House, extractors: list[Extractor]
    ) -> None:
        moved(client)
        house.drain()
        # The new one takes initials for the thing itself.
        extractors[1:] = [Residence(version="2", pattern=re.compile(r"I (live in|speak) (\w)"))]
        house.replay()
        done = compared(house)
        assert done.changes == {
            MemoryKind.EPISODE: {MemoryChange.LOST: 3},
            MemoryKind.FACT: {MemoryChange.CHANGED: 2, MemoryChange.LOST: 1, MemoryChange.ADDED: 1},
        }
        facts = [d for d in done.examples if d.kind is MemoryKind.FACT]
        assert {
            (d.change, d.before and d.before.text, d.after and d.after.text) for d in facts
        } == {
            (MemoryChange.CHANGED, "Lives in Berlin", "Lives in B"),
            (MemoryChange.CHANGED, "Lives in Oslo", "Lives in O"),
            (MemoryChange.LOST, "Speaks Czech", None),
            (MemoryChange.ADDED, None, "Speaks C"),
        }
        assert set(done.after.makers) == {"residence 2"}

    def test_examples_are_a_few_of_each(self, client: MemoryClient, house: House) -> None:
        for scope in (ANA, TOM):
            moved(client, scope)
        house.drain()
        house.replay(extractors=["residence"])
        done = compared(house, examples=2)
        assert done.changes == {MemoryKind.EPISODE: {MemoryChange.LOST: 6}}
        assert len(done.examples) == 2
        assert compared(house, only=["tom"]).changes == {MemoryKind.EPISODE: {MemoryChange.LOST: 3}}
        assert compared(house, tenant="elsewhere").users == 0

    def test_questions_are_asked_of_both_whichever_serves(
        self, client: MemoryClient, house: House
    ) -> None:
        moved(client)
        house.drain()
        house.replay(extractors=["residence"])
        questions = [
            EvaluationQuestion(ANA, "Which language does she speak, Czech?", frozenset(["ana-1"])),
            EvaluationQuestion(ANA, "Where does she live?", frozenset(["ana-2", "never"])),
        ]
        done = compared(house, questions=questions)
        assert (done.questions, done.before.found, done.after.found) == (2, 0.75, 0.75)
        house.replay(name="bare", extractors=[])
        assert compared(house, after="bare", questions=questions).after.found == 0.0

    def test_what_is_said_twice_or_rivalled_is_counted(
        self, client: MemoryClient, house: House, superuser: psycopg.Connection
    ) -> None:
        moved(client)
        house.drain()
        house.replay()
        superuser.execute("UPDATE memories SET text = 'Lives in  OSLO' WHERE attribute = 'speaks'"
                          " AND generation = 2")  # fmt: skip
        superuser.execute("UPDATE memories SET contested = '{rome}' WHERE value = 'oslo'"
                          " AND generation = 1")  # fmt: skip
        done = compared(house)
        assert (done.before.duplicates, done.after.duplicates) == (0, 1)
        assert (done.before.contested, done.after.contested) == (1, 0)


BREAKS = {
    "the quote reads otherwise": "UPDATE evidence SET quote = 'I live in Rome' WHERE {}",
    "it stands elsewhere": "UPDATE evidence SET start_offset = start_offset + 1,"
    " end_offset = end_offset + 1"
    " WHERE {}",
    "the interaction is gone": "DELETE FROM interactions WHERE interaction_id = 'ana-2'",
    "it was retracted": "UPDATE interactions SET retracted_at = now()"
    " WHERE interaction_id = 'ana-2'",
    "it quotes nothing": "DELETE FROM evidence WHERE {}",
    "the words have nothing to do with it": "UPDATE memories SET text = 'Likes tea',"
    " lexemes = to_tsvector('Likes tea') WHERE {}",
}


class TestQuality:
    def sample(self, house: House) -> dict[str, Quality]:
        found = house.portal.call(sampled, house.database, "northwind", "english")
        return {quality.maker: quality for quality in found}

    def test_memories_that_quote_the_log_are_sound(
        self, client: MemoryClient, house: House
    ) -> None:
        moved(client)
        client.record(ANA, "", kind="feedback", payload={"action": "accept", "item": {}})
        house.drain()
        found = self.sample(house)
        assert found["residence 1"] == Quality("residence 1", 3, 4, 4, 0, 3)
        assert found["residence 1"].score == 1.0

    @pytest.mark.parametrize("how", BREAKS)
    def test_what_does_not_bear_out_is_not_sound(
        self, client: MemoryClient, house: House, superuser: psycopg.Connection, how: str
    ) -> None:
        moved(client)
        house.drain()
        oslo = "memory_id = (SELECT memory_id FROM memories WHERE value = 'oslo')"
        superuser.execute(BREAKS[how].format(oslo))
        found = self.sample(house)["residence 1"]
        broken = 2 if "ana-2" in BREAKS[how] else 1  # it also ended what was believed before
        assert (found.memories, found.sound) == (3, 3 - broken)

    def test_what_retention_purged_is_as_it_should_be(
        self, client: MemoryClient, house: House, superuser: psycopg.Connection
    ) -> None:
        moved(client)
        house.drain()
        superuser.execute("UPDATE evidence SET quote = '' WHERE interaction_id = 'ana-2'")
        superuser.execute("DELETE FROM interactions WHERE interaction_id = 'ana-2'")
        superuser.execute("INSERT INTO tombstones (tenant_id, user_id, id_digest)"
                          " VALUES ('northwind', 'ana', sha256('ana-2'))")  # fmt: skip
        found = self.sample(house)["residence 1"]
        assert (found.purged, found.standing, found.sound) == (2, 2, 3)

    def test_a_look_is_bounded_and_the_next_one_goes_on(
        self, client: MemoryClient, house: House
    ) -> None:
        users = [replace(ANA, user=f"user-{n:02}") for n in range(USERS_AT_ONCE + 3)]
        for scope in users:
            client.record(scope, "I speak Thai.")
        said = [f"I speak Language{number}." for number in range(MEMORIES_EACH + 5)]
        client.record(users[0], " ".join(said))
        house.drain()
        looks = [sum(q.memories for q in self.sample(house).values()) for _ in range(3)]
        # Two memories of everybody, and of the first, who has more, no more than of anybody.
        assert looks == [2 * (USERS_AT_ONCE - 1) + MEMORIES_EACH, 6, looks[0]]

    def test_an_empty_tenant_has_none(self, house: House) -> None:
        assert self.sample(house) == {}

    def test_is_part_of_the_status(self, client: MemoryClient, house: House) -> None:
        moved(client)
        house.drain()

        async def status() -> list[str]:
            found = await read_status(house.database, "northwind", language="english")
            return [quality.maker for quality in found.quality]

        assert house.portal.call(status) == ["residence 1", "verbatim 1"]


class Marks(HTMLParser):
    """What a page is made of: its tags, where it points, and its text by the tag around it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.outside: list[str] = []
        self.texts: dict[str, str] = {}
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.outside += [name for name, _ in attrs if name in {"src", "href", "onload"}]
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        around = self.open[-1] if self.open else ""
        self.texts[around] = self.texts.get(around, "") + data


class TestPage:
    @pytest.fixture
    def shown(self) -> Marks:
        said = "Lives in <b>Oslo</b> \x1b[31m & <script>alert(1)</script>"
        rows = [row(1, text=said, value="oslo"), row(2, text="Lives in Rome", value="rome")]
        _, found = differences(replace(ANA, user="<i>ana</i>"), 1, rows)
        done = Comparison(
            GenerationQuality("first"), GenerationQuality("next<"), users=1, examples=found
        )
        done.changes = {MemoryKind.FACT: {MemoryChange.CHANGED: 1}}
        return Marks(html_report.drawn(done))

    def test_is_one_whole_document_that_needs_nothing_beside_it(self, shown: Marks) -> None:
        assert shown.open == []
        assert shown.outside == []
        assert "@import" not in shown.texts["style"]
        assert "url(" not in shown.texts["style"]

    def test_shows_what_users_wrote_as_text(self, shown: Marks) -> None:
        assert not {"script", "b", "i"} & set(shown.texts)
        assert "<script>alert(1)</script>" in shown.texts["del"] + shown.texts["td"]
        assert "\x1b" not in "".join(shown.texts.values())

    def test_marks_what_only_one_side_says(self, shown: Marks) -> None:
        assert "Oslo" in shown.texts["del"]
        assert shown.texts["ins"] == "Rome"
        assert "Lives in " in shown.texts["td"]


class TestQuestionFile:
    def test_reads_a_question_a_line(self, tmp_path: Path) -> None:
        path = tmp_path / "questions.jsonl"
        line = {"tenant": "northwind", "user": "ana", "query": "Where?", "evidence": ["m1", "m2"]}
        path.write_text(json.dumps(line) + "\n\n")
        scope = Scope("northwind", "ana")
        assert list(read_questions(path)) == [
            EvaluationQuestion(scope, "Where?", frozenset(["m1", "m2"]))
        ]

    @pytest.mark.parametrize(
        "line",
        [
            "{",
            "[]",
            '{"tenant": "t", "user": "u", "query": "q"}',
            '{"tenant": "t", "user": "u", "query": "q", "evidence": []}',
            '{"tenant": "t", "user": "u", "query": 1, "evidence": ["m"]}',
            '{"tenant": "", "user": "u", "query": "q", "evidence": ["m"]}',
        ],
    )
    def test_names_the_line_that_is_none(self, tmp_path: Path, line: str) -> None:
        path = tmp_path / "questions.jsonl"
        path.write_text(f"\n{line}\n")
        with pytest.raises(InvalidInput, match=r"line 2|tenant"):
            list(read_questions(path))
