"""Reading takes linear time: every reader that `benchmarks.linear` finds, on generated texts."""

import pytest

from benchmarks import linear
from benchmarks.linear import MOST_TIMES, Reader, adversarial, readers, seconds, timed
from memory.language.text import MAX_READ_CHARACTERS, beginning

EACH = 4
"""Texts a reader; the benchmark takes as many as one likes."""

KNOWN = {
    "marks": ("", "A. ", ""),
    "an instruction": ("always use ", "a ", "."),
    "conditions": ("When i ask, ", "i ask, ", ""),
    "dates": ("", "Monday ", ""),
    "one word": ("the deadline for ", "a", ""),
    "full stops": ("I live", ".", "x"),
    "kin": ("My ", "sister and i ", ""),
}
"""What once took quadratic time or worse."""

FORMS = {
    "tags": ("", "<a>", ""),
    "tags of many names": ("", "<a1><b2 c='d'><e-f>", ""),
    "half tags": ("", "<a ", ""),
    "comments": ("", "<!--", ""),
    "marks of templates": ("", "<|im_start|>[INST]<<SYS>>", ""),
    "quotation marks": ("", '"x. ', ""),
    "opening marks": ("", "\u201c", ""),
    "blank lines": ("Here it is:", "\n", "x"),
    "spaces": ("", " ", "x"),
    "names": ("", "Tom: x\n", ""),
    "times": ("", "a, ", "10:01"),
    "fences": ("", "```\n~~~\n", ""),
    "citations": ("", "[1]", ""),
    "backslashes": ("", "\\", "[1]"),
    "hidden characters": ("", "\u200b\u202e\U000e0041", ""),
    "introductions": ("", "this:\n", ""),
    "salutations": ("", "Hi ", ","),
    "dashes": ("", "-", "original"),
    "labels": ("", "system ", ":"),
}
"""Forms of pasted text, many times over."""


def named(reader: Reader) -> str:
    return reader.name


def test_the_readers_of_every_room_are_found() -> None:
    rooms = {reader.name.rsplit(".", 1)[0] for reader in readers()}
    assert rooms >= {
        "extractors.behaviour.feedback", "extractors.episodes", "extractors.reading.dates",
        "extractors.language_model.grounding", "extractors.language_model.support",
        "extractors.reading.english.messages", "extractors.reading.english.own_words",
        "extractors.statements", "extractors.summaries.extractive", "memory.context.excerpts",
        "memory.language.questions", "memory.language.text", "memory.language.turns",
        "memory.privacy.contact", "memory.privacy.credentials", "memory.privacy.national_ids",
        "memory.privacy.passwords", "memory.privacy.payment", "memory.privacy.scanning",
        "memory.trust.origins", "memory.trust.spans",
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("reader", readers(), ids=named)
def test_four_times_the_text_takes_at_most_six_times_as_long(reader: Reader) -> None:
    slow = [t for seed in range(EACH) if (t := timed(reader, seed)).times > MOST_TIMES]
    assert slow == []


@pytest.mark.slow
@pytest.mark.parametrize("reader", readers(), ids=named)
def test_the_largest_message_takes_in_proportion(reader: Reader) -> None:
    """As `timed`, from a quarter of the largest message to the largest."""
    small, large = (
        min(seconds(reader, adversarial(0, size)) for _ in range(2))
        for size in (linear.LARGEST // 4, linear.LARGEST)
    )
    assert large <= MOST_TIMES * max(small, linear.LEAST_SECONDS)


@pytest.mark.parametrize("attack", KNOWN)
def test_what_once_took_too_long(attack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "unit", lambda _: KNOWN[attack])
    reading = {
        "memory.language.text.sentences", "extractors.reading.dates.resolve",
        "extractors.reading.english.messages.read",
    }  # fmt: skip
    slow = [t for r in readers() if r.name in reading and (t := timed(r, 0)).times > MOST_TIMES]
    assert slow == []


@pytest.mark.parametrize("form", FORMS)
def test_forms_are_found_in_linear_time(form: str) -> None:
    """The largest message of a form takes in proportion to a quarter of it."""
    start, repeated, end = FORMS[form]
    (reader,) = (r for r in readers() if r.name == "memory.trust.spans.spans_of")
    small, large = (
        min(seconds(reader, linear._sized(start, repeated, end, size)) for _ in range(4))
        for size in (linear.LARGEST // 4, linear.LARGEST)
    )
    assert large <= MOST_TIMES * max(small, 2 * linear.LEAST_SECONDS)


@pytest.mark.not_quick
def test_the_measure_notices_quadratic_time() -> None:
    def call(text: str) -> object:
        return lambda: sum(text.count("never", 0, n) for n in range(0, len(text), 60))

    assert timed(Reader("quadratic", call), 0).times > MOST_TIMES  # type: ignore[arg-type]


@pytest.mark.parametrize("ending", [". ", "\n", "\u3002"])
def test_a_message_is_read_to_its_last_whole_sentence(ending: str) -> None:
    sentence = "I live in Rome" + ending
    text = sentence * (MAX_READ_CHARACTERS // len(sentence) + 9)
    read = beginning(text)
    assert len(text) > MAX_READ_CHARACTERS >= len(read)
    assert read.rstrip().endswith(("Rome.", "Rome", "\u3002"))
    assert beginning(read) == read
