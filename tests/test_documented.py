"""Nothing that the documentation named is lost when a page is rewritten."""

import pytest

from tests.documented import LIST, Named, drawn, existing, figures, lost, named, recorded


@pytest.fixture(scope="module")
def today() -> Named:
    return named()


@pytest.mark.parametrize(
    "sort", ["settings", "commands", "options", "exit codes", "errors", "limits", "figures"]
)
def test_what_was_documented_still_is(sort: str, today: Named) -> None:
    assert sorted(lost(sort, today)) == [], "see tests/documented.py"


@pytest.mark.parametrize("sort", ["settings", "commands", "options", "exit codes", "errors"])
def test_what_exists_is_documented(sort: str, today: Named) -> None:
    assert existing()[sort] - today[sort].keys() == set()


def test_what_is_superseded_is_gone_and_says_why(today: Named) -> None:
    superseded = recorded()["superseded"]
    assert superseded.keys() <= recorded()["limits"].keys() | recorded()["figures"].keys()
    assert superseded.keys() & (today["limits"].keys() | today["figures"].keys()) == set()
    assert all(superseded.values())


def test_the_list_is_sorted() -> None:
    assert LIST.read_text(encoding="utf-8") == drawn(recorded())


def test_figures_are_told_from_other_numbers() -> None:
    text = (
        "On 2026-03-02, of 760 questions 86 % took 10 seconds or 1.5s; 2,440 tokens, 0.84 of 12;"
        " version 0.1.0 at host:9092 in May 2026 (RFC 8259)."
    )
    assert list(figures(text)) == ["760 questions", "86 %", "10 s", "1.5 s", "2,440 tokens", "0.84"]


def test_a_loss_is_noticed(today: Named) -> None:
    less = {**today, "settings": {}, "limits": {}, "figures": {}}
    assert "MEMORY_DATABASE_URL" in lost("settings", less)
    assert lost("limits", less)
    assert lost("figures", less)
