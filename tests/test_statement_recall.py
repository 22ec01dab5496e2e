"""The rules by which the benchmark of statements counts: what was noted, and what was judged."""

from pathlib import Path

import pytest

from benchmarks.metrics import proportion
from benchmarks.statements import (
    Noted,
    Remembered,
    matched,
    precision,
    report,
    sampled,
    says,
    unnamed,
    verdicts,
)

JUDGED = Path(__file__).parents[1] / "docs" / "statements-sample.md"


def remembered(text: str, *interaction_ids: str) -> Remembered:
    return Remembered(interaction_ids, "Ana", "fact", "did.it", "yes", text)


@pytest.mark.parametrize(
    ("text", "observation", "said"),
    [
        ("Ana joined a sailing club", "joined a sailing club", True),
        ("Ana joins a club", "joined a sailing club", False),
        ("Ana sails at the club", "joined a sailing club", False),
        ("Ana joined the club", "joined a sailing club", True),
        ("Ana joined the club", "the of and", False),
    ],
)
def test_half_of_the_content_words_say_it(text: str, observation: str, said: bool) -> None:
    assert says(text, observation) is said


def test_no_speaker_is_a_content_word() -> None:
    left = unnamed("Ana thanks Ben for Ben's map of Anatolia", {"Ana", "Ben"})
    assert left.split() == ["thanks", "for", "map", "of", "Anatolia"]


def test_covered_is_a_turn_and_said_is_its_content() -> None:
    observed = [
        Noted("c Ana", "joined a sailing club", frozenset({"c:D1:1"})),
        Noted("c Ana", "adopted three cats", frozenset({"c:D1:2", "c:D1:3"})),
        Noted("c Ben", "works in Oslo", frozenset({"c:D1:4"})),
    ]
    memories = [
        remembered("Ana joined a sailing club", "c:D1:1"),
        remembered("Ana is tired", "c:D1:3"),
        remembered("Ana works in Oslo", "c:D9:9"),
    ]
    found = report(matched(observed, memories))
    assert found["covered"]["share"] == pytest.approx(2 / 3)
    assert found["said"]["share"] == pytest.approx(1 / 3)
    assert found["memories_of_noted_turns"]["share"] == pytest.approx(2 / 3)
    assert found["memories_saying_what_was_noted"]["share"] == pytest.approx(1 / 3)
    assert found["speakers"] == {
        "c Ana": {"observations": 2, "covered": 1.0, "said": 0.5},
        "c Ben": {"observations": 1, "covered": 0.0, "said": 0.0},
    }


def test_a_sample_depends_on_its_seed_alone() -> None:
    memories = [remembered(f"Ana has {n} cats", f"c:D1:{n}") for n in range(50)]
    assert sampled(memories, 10, 1) == sampled(memories, 10, 1)
    assert sampled(memories, 10, 1) != sampled(memories, 10, 2)
    assert len(set(sampled(memories, 80, 1))) == 50


def test_verdicts_are_counted_under_their_heading() -> None:
    page = """
# Judged
| | interaction | verdict | why |
|---|---|---|---|
## One
| 1 | c:D1:1 | right | |
| 2 | c:D1:2 | wrong | 3: which one is right? |
## Two
| 1 | c:D1:3 | right |  |
"""
    assert verdicts(page) == {"One": [True, False], "Two": [True]}


def test_a_share_of_few_has_a_wide_interval_even_where_all_are_right() -> None:
    assert proportion(96, 100) == pytest.approx((0.9016, 0.9843), abs=1e-4)
    low, high = precision([True] * 10)["interval"]
    assert (low, high) == pytest.approx((0.7225, 1.0), abs=1e-4)


def test_every_table_in_the_docs_has_a_hundred_verdicts() -> None:
    judged = verdicts(JUDGED.read_text(encoding="utf-8"))
    assert judged
    assert {len(each) for each in judged.values()} == {100}
