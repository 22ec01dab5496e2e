"""What a model reads off real quotes: believed where they say it, refused where they do not."""

import re
from collections import Counter
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extractors.language_model.extractor import Reader
from extractors.language_model.grounding import ShownTurns
from extractors.language_model.support import Quoted, bears_out, unsupported
from extractors.prompts.answers import Extracted, Proposal, Quote, Steps
from memory.models import Candidate, Interaction, InteractionKind, Provenance, Role, Scope
from tests.supported import LATER, SUPPORTED, UNSUPPORTED, Pair

MONDAY = datetime(2023, 5, 8, 12, tzinfo=UTC)
SPEAKER = re.compile(r"([A-Z][a-z]*): ")
MADE = Provenance("language_model", "1")


def turns(said: tuple[str, ...]) -> dict[int, Interaction]:
    """The lines of a pair as turns; one that names nobody is Ana's, and goes on with her turn."""
    spoken: list[tuple[str, str]] = []
    for line in said:
        speaker = SPEAKER.match(line)
        text = line[speaker.end() :] if speaker else line
        if speaker is None and spoken and spoken[-1][0] == "Ana":
            text = f"{spoken.pop()[1]}\n{text}"
        spoken.append((speaker[1] if speaker else "Ana", text))
    return {
        n: Interaction(
            Scope("t", "u", session="s"), f"m{n}", InteractionKind.MESSAGE,
            Role.ASSISTANT if who == "A" else Role.USER, text, MONDAY, ordinal=n,
            actor=None if who == "A" else who,
        )
        for n, (who, text) in enumerate(spoken, 1)
    }  # fmt: skip


def read(pair: Pair) -> tuple[list[Candidate], Counter[str]]:
    """What is believed of an answer that claims a pair, and why the rest is refused."""
    shown = turns(pair.said)
    quotes = [
        Quote(turn=max(n for n, t in shown.items() if words in t.content), words=words)
        for words in pair.quotes
    ]
    claim = Proposal(
        text=pair.text, quotes=quotes, attribute="about" if pair.value else None,
        value=pair.value, single_valued=False, tense="present", when=None, ends=[],
    )  # fmt: skip
    reader = Reader(ShownTurns(shown), [], MADE)
    answer = Extracted(facts=[claim], preferences=[], procedures=[])
    return list(reader.candidates(answer)), reader.refused


def believed(pair: Pair) -> bool:
    """Whether the claim is believed, with its value if it has one."""
    return any(c.value == pair.value for c in read(pair)[0])


@pytest.mark.parametrize("pair", UNSUPPORTED, ids=lambda pair: f"{pair.kind}: {pair.text}")
def test_what_the_words_do_not_say_is_refused(pair: Pair) -> None:
    found, refused = read(pair)
    assert not believed(pair)
    assert refused or found[0].attribute is None  # a value of its own is left out


@pytest.mark.parametrize("pair", SUPPORTED, ids=lambda pair: pair.text)
def test_what_the_words_say_is_believed(pair: Pair) -> None:
    assert believed(pair), read(pair)[1]


def test_pairs_that_no_rule_was_made_for() -> None:
    """No claim to be perfect: what docs/language_model.md says of them has to hold."""
    refused = [pair for pair in LATER if pair.kind != "said" and not believed(pair)]
    kept = [pair for pair in LATER if pair.kind == "said" and believed(pair)]
    assert (len(refused), len(kept)) == (13, 11)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("Does not eat fish", "reversed"), ("Eats 3 fish", "unsaid"), ("Eats fish in 2020", "unsaid"),
     ("Eats fish with Marco", "unsaid"), ("Tom eats fish", "another_person"),
     ("Collects old stamps", "unrelated")],
)  # fmt: skip
def test_each_rule_has_its_reason(text: str, reason: str) -> None:
    said = ("Tom: Hello!", "I eat fish.")
    assert read(Pair("", said, ("I eat fish",), text))[1] == {reason: 1}


@pytest.mark.parametrize(
    ("text", "kept"),
    [("Wohnt in einer alten Wohnung am Hafen", 1), ("Wohnt seit 12 Jahren am Hafen", 0),
     ("Sammelt Briefmarken", 0)],
)  # fmt: skip
def test_of_another_language_numbers_and_words_are_compared(text: str, kept: int) -> None:
    said = ("Wir wohnen in Hamburg, direkt am Hafen, in einem Altbau.",)
    assert len(read(Pair("", said, ("direkt am Hafen",), text))[0]) == kept


def test_a_way_of_doing_something_may_say_not() -> None:
    shown = turns(("To make rice, rinse it, boil it for 10 minutes and leave the lid on.",))
    quote = Quote(turn=1, words="rinse it, boil it for 10 minutes and leave the lid on")
    for minutes, kept in (("10", 1), ("25", 0)):
        steps = [f"rinse it, boil it for {minutes} minutes", "do not lift the lid"]
        answer = Extracted(
            facts=[],
            preferences=[],
            procedures=[Steps(task="make rice", steps=steps, quotes=[quote])],
        )
        assert len(list(Reader(ShownTurns(shown), [], MADE).candidates(answer))) == kept


ANYTHING = st.text(max_size=60) | st.sampled_from([p.text for p in SUPPORTED])


@given(ANYTHING, ANYTHING, ANYTHING)
def test_any_text_can_be_judged(text: str, words: str, around: str) -> None:
    quoted = Quoted([(words, MONDAY)], f"{words} {around}", around, frozenset({"Ana"}),
                    frozenset({"Ana", "Tom"}))  # fmt: skip
    assert unsupported(text, quoted) == unsupported(text, quoted)
    assert bears_out("", text, quoted)
