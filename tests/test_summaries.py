"""Sentences, estimates, and summaries that quote what they keep."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extractors.protocol import LogSlice
from extractors.summaries.extractive import create, summarise
from memory.language.text import (
    Line,
    content_words,
    estimate_tokens,
    extractive_summary,
    rolling_summary,
    sentences,
    spoken_lines,
)
from memory.models import Interaction, InteractionKind, MemoryKind, Role, Scope
from memory.settings import Settings

START = datetime(2026, 3, 2, 8, tzinfo=UTC)
SCOPE = Scope("tenant", "user", session="session")


def said(
    number: int,
    content: str,
    role: Role = Role.USER,
    kind: InteractionKind = InteractionKind.MESSAGE,
    actor: str | None = None,
) -> Interaction:
    return Interaction(
        SCOPE, f"i{number}", kind, role, content, START + timedelta(minutes=number), actor=actor
    )


CONVERSATION = [
    said(1, "Hey! How are you?"),
    said(2, "Fine, thanks. What can I do for you?", Role.ASSISTANT),
    said(3, "I moved to Munich in May. It is lovely weather today, isn't it?"),
    said(4, "Wow, great!", Role.ASSISTANT),
    said(5, "I decided to take the job at Helio Grid for 84,000 euros. My start is 1 June."),
    said(6, "Shall I remind you of the contract?", Role.ASSISTANT),
    said(7, "Yes, thanks. I am allergic to shellfish, so no sushi for the welcome dinner."),
]

TEXTS = st.text(st.sampled_from("ab I.!?…\n\t \"')JrMDx0€。"), max_size=80)
LINES = st.lists(
    st.builds(
        Line, st.sampled_from(["Ada", "Assistant"]), st.text("abcdef 1?I", max_size=60),
        st.booleans(),
    ),
    max_size=12,
)  # fmt: skip


class TestSentences:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", []),
            (" \n\t ", []),
            ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
            ("Dr. Ray met J. R. Smith, e.g. at 3 p.m. on Mon. in St. Louis.",
             ["Dr. Ray met J. R. Smith, e.g. at 3 p.m. on Mon. in St. Louis."]),
            ("It costs 3.50 at example.com. Cheap!", ["It costs 3.50 at example.com.", "Cheap!"]),
            ('She said "No." Then left.', ['She said "No."', "Then left."]),
            ("Well... maybe. Fine", ["Well... maybe.", "Fine"]),
            ("- one\n- two\n\nthree", ["- one", "- two", "three"]),
            ("Really?! Yes.", ["Really?!", "Yes."]),
            ("好。谢谢！再见", ["好。", "谢谢！", "再见"]),  # noqa: RUF001
        ],
    )  # fmt: skip
    def test_cases(self, text: str, expected: list[str]) -> None:
        assert [text[start:end] for start, end in sentences(text)] == expected

    @given(TEXTS | st.text())
    def test_spans_hold_all_that_is_no_space(self, text: str) -> None:
        spans = sentences(text)
        assert all(start < end for start, end in spans)
        assert all(before[1] <= after[0] for before, after in pairwise(spans))
        assert all(text[start:end] == text[start:end].strip() for start, end in spans)
        kept = {place for start, end in spans for place in range(start, end)}
        assert {place for place, mark in enumerate(text) if not mark.isspace()} <= kept

    @given(st.text(), st.text())
    def test_the_estimate_can_be_added_up(self, a: str, b: str) -> None:
        assert estimate_tokens(a + b) <= estimate_tokens(a) + estimate_tokens(b)
        assert estimate_tokens("abcd") == 1
        assert estimate_tokens("abcde") == 2

    def test_content_words(self) -> None:
        text = "Yeah, I'm moving to Ada's well-known flat, aren't I? It's flat no. 12."
        assert content_words(text) == ["moving", "ada", "well-known", "flat", "aren", "flat", "12"]


class TestChoosing:
    @given(LINES, st.integers(0, 60))
    def test_never_over_budget_in_order_and_repeatable(
        self, lines: list[Line], budget: int
    ) -> None:
        chosen = extractive_summary(lines, budget)
        assert chosen == sorted(set(chosen)) == extractive_summary(lines, budget)
        assert estimate_tokens("\n".join(str(lines[index]) for index in chosen)) <= budget

    @given(LINES)
    def test_with_room_for_all_every_content_word_is_kept(self, lines: list[Line]) -> None:
        kept = {w for i in extractive_summary(lines, 10_000) for w in content_words(lines[i].text)}
        assert kept == {word for line in lines for word in content_words(line.text)}

    @pytest.mark.parametrize(
        ("better", "worse"),
        [
            (Line("U", "I play the violin on Sundays."), Line("U", "She plays violin on Sundays.")),
            (Line("U", "I play the violin."), Line("A", "I play the violin.", from_user=False)),
            (Line("U", "We decided on the blue logo."), Line("U", "We looked at the blue logo.")),
            (Line("U", "The rent is 900 euros."), Line("U", "The rent is many euros.")),
            (Line("U", "Bring the blue folder."), Line("U", "Bring the blue folder?")),
            (Line("U", "Lunch with Sara tomorrow."), Line("U", "Lunch with sister tomorrow.")),
        ],
    )
    def test_cues(self, better: Line, worse: Line) -> None:
        budget = estimate_tokens(str(max(better, worse, key=lambda line: len(line.text))))
        assert extractive_summary([worse, better], budget) == [1]
        assert extractive_summary([better, worse], budget) == [0]

    def test_nothing_is_said_twice(self) -> None:
        lines = [
            Line("U", "I moved to Munich in May."),
            Line("U", "In May I moved to Munich."),
            Line("U", "My dog is called Bello."),
        ]
        assert extractive_summary(lines, 1_000) == [0, 2]


class TestSummary:
    def test_keeps_what_matters_and_quotes_each_sentence(self) -> None:
        summary = summarise(CONVERSATION, 60)
        assert summary is not None
        assert "Munich" in summary.text
        assert "Helio Grid" in summary.text
        assert "How are you" not in summary.text
        contents = {interaction.id: interaction.content for interaction in CONVERSATION}
        for piece in summary.evidence:
            assert contents[piece.interaction_id][piece.start : piece.end] == piece.quote
            assert piece.quote in summary.text
        order = [(piece.occurred_at, piece.start) for piece in summary.evidence]
        assert order == sorted(order)
        assert summary.occurred_at == CONVERSATION[-1].occurred_at
        assert summary.valid_from == CONVERSATION[0].occurred_at

    @given(st.lists(TEXTS, max_size=6), st.integers(0, 60))
    def test_the_text_is_the_quotes_within_the_budget(
        self, contents: list[str], budget: int
    ) -> None:
        interactions = [said(number, content) for number, content in enumerate(contents)]
        summary = summarise(interactions, budget)
        if summary is not None:
            assert estimate_tokens(summary.text) <= budget
            quotes = " ".join(piece.quote for piece in summary.evidence)
            assert summary.text == f"User: {quotes}"
            assert all(
                contents[int(piece.interaction_id[1:])][piece.start : piece.end] == piece.quote
                for piece in summary.evidence
            )

    @pytest.mark.parametrize(
        "interactions",
        [
            [],
            [said(1, "Hey! You?")],
            [said(1, "Deploy at nine.", kind=InteractionKind.TOOL_RESULT)],
            [said(1, "You are a careful assistant.", Role.SYSTEM)],
        ],
    )
    def test_nothing_worth_keeping(self, interactions: list[Interaction]) -> None:
        assert summarise(interactions) is None

    def test_names_its_speakers(self) -> None:
        summary = summarise(
            [said(1, "I live in Bray.", actor="Hana"), said(2, "Bray noted.", Role.ASSISTANT)], 50
        )
        assert summary is not None
        assert summary.text == "Hana: I live in Bray.\nAssistant: Bray noted."

    async def test_as_an_extractor(self) -> None:
        extractor = create(Settings())
        (summary,) = await extractor.extract(LogSlice(SCOPE, CONVERSATION))
        assert {summary.kind} == extractor.makes == {MemoryKind.SUMMARY}
        assert await extractor.extract(LogSlice(SCOPE, [])) == []


class TestRolling:
    def test_moves_forward_within_its_budget(self) -> None:
        lines = [one.line for one in spoken_lines(CONVERSATION)]
        first = rolling_summary("", lines[:6], 30)
        both = rolling_summary(first, lines[6:], 60)
        assert "User: I moved to Munich in May." in first.splitlines()
        assert both.index("Munich") < both.index("Helio Grid")
        assert estimate_tokens(both) <= 60

    def test_stays_as_it_is_where_nothing_comes(self) -> None:
        lines = [one.line for one in spoken_lines(CONVERSATION)]
        summary = rolling_summary("", lines, 50)
        assert rolling_summary(summary, [], 50) == summary

    @given(LINES, LINES, st.integers(0, 50))
    def test_is_never_over_budget(self, old: list[Line], new: list[Line], budget: int) -> None:
        summary = rolling_summary(rolling_summary("", old, budget), new, budget)
        assert estimate_tokens(summary) <= budget
