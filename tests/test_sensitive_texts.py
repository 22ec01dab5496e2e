"""How well the recognisers do on `sensitive_texts.txt`, by class, and on texts without anything."""

import re
from collections import Counter
from pathlib import Path

import pytest

from memory.privacy.findings import Finding, Sensitive
from memory.privacy.scanning import scan

FILE = Path(__file__).with_name("sensitive_texts.txt")
MARKED = re.compile(r"⟦(\w+):(.*?)⟧", re.DOTALL)
LEAST_RECALL, MOST_FALSE_ALARMS = 0.95, 0.02
SLACK = 1
"""Characters beside a value that may be taken with it, such as a full stop."""


def texts() -> list[tuple[str, list[Finding]]]:
    lines = [line for line in FILE.read_text().splitlines() if line and line[0] != "#"]
    return [unmarked(line.replace("\\n", "\n")) for line in lines]


def unmarked(line: str) -> tuple[str, list[Finding]]:
    text, after, marks = "", 0, []
    for match in MARKED.finditer(line):
        text += line[after : match.start()]
        marks.append(Finding(Sensitive(match[1]), len(text), len(text) + len(match[2])))
        text += match[2]
        after = match.end()
    return text + line[after:], marks


TEXTS = texts()
SPLIT = 241
"""Texts of which every third one is held back; the recognisers were tuned on all that follow."""

HELD_BACK = TEXTS[2:SPLIT:3]
TUNED = [text for n, text in enumerate(TEXTS) if n % 3 != 2 or n >= SPLIT]


def finds(mark: Finding, text: str) -> bool:
    return any(
        f.sensitive is mark.sensitive
        and 0 <= mark.start - f.start <= SLACK
        and 0 <= f.end - mark.end <= SLACK
        for f in scan(text)
    )


def missed(part: list[tuple[str, list[Finding]]]) -> tuple[Counter[str], dict[str, list[str]]]:
    """How many marks there are by class, and the texts in which one is missed."""
    marked: Counter[str] = Counter()
    lost: dict[str, list[str]] = {}
    for text, marks in part:
        for mark in marks:
            marked[mark.sensitive] += 1
            if not finds(mark, text):
                lost.setdefault(mark.sensitive, []).append(text)
    return marked, lost


def alarms(part: list[tuple[str, list[Finding]]]) -> list[tuple[str, tuple[Finding, ...]]]:
    return [(text, found) for text, marks in part if not marks and (found := scan(text))]


def test_the_file_is_large_and_half_of_it_holds_nothing() -> None:
    without = sum(not marks for _, marks in TEXTS)
    assert len(TEXTS) >= 150
    assert 0.4 < without / len(TEXTS) < 0.6
    assert {mark.sensitive for _, marks in TEXTS for mark in marks} == set(Sensitive)


@pytest.mark.parametrize("sensitive", Sensitive)
def test_each_class_is_found(sensitive: Sensitive) -> None:
    marked, lost = missed(TEXTS)
    assert len(lost.get(sensitive, ())) <= (1 - LEAST_RECALL) * marked[sensitive], lost[sensitive]


@pytest.mark.parametrize("part", [TEXTS, HELD_BACK], ids=["all", "held back"])
def test_a_part_is_found_as_well(part: list[tuple[str, list[Finding]]]) -> None:
    marked, lost = missed(part)
    assert sum(map(len, lost.values())) <= (1 - LEAST_RECALL) * marked.total(), lost


@pytest.mark.parametrize("part", [TEXTS, HELD_BACK], ids=["all", "held back"])
def test_few_texts_raise_a_false_alarm(part: list[tuple[str, list[Finding]]]) -> None:
    without = sum(not marks for _, marks in part)
    assert len(alarms(part)) <= MOST_FALSE_ALARMS * without, alarms(part)
