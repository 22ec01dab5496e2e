"""The rules by which the benchmark of statements counts what annotators noted as remembered."""

import pytest

from benchmarks.statements import Noted, compared, says


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


def test_covered_is_a_turn_and_said_is_its_content() -> None:
    observed = [
        Noted("joined a sailing club", frozenset({"c:D1:1"})),
        Noted("adopted three cats", frozenset({"c:D1:2", "c:D1:3"})),
        Noted("works in Oslo", frozenset({"c:D1:4"})),
    ]
    remembered = [
        Noted("Ana joined a sailing club", frozenset({"c:D1:1"})),
        Noted("Ana is tired", frozenset({"c:D1:3"})),
        Noted("Ana works in Oslo", frozenset({"c:D9:9"})),
    ]
    report = compared(observed, remembered)
    assert report["covered"]["share"] == pytest.approx(2 / 3)
    assert report["said"]["share"] == pytest.approx(1 / 3)
    assert report["memories_of_noted_turns"]["share"] == pytest.approx(2 / 3)
