"""The sample log is what its screenplay says, and holds what its README promises."""

import runpy
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from consumers.importing.importer import Format, detect_format, read
from memory.models import Interaction, InteractionKind, Role

EXAMPLES = Path(__file__).parent.parent / "examples"
SAMPLE = EXAMPLES / "recruiting.jsonl"


@cache
def sample() -> tuple[Interaction, ...]:
    return tuple(placed.interaction for placed in read(SAMPLE))


def said_by_users(words: str) -> set[str]:
    return {
        interaction.scope.user
        for interaction in sample()
        if interaction.kind is InteractionKind.MESSAGE
        and interaction.role is Role.USER
        and words in interaction.content.lower()
    }


def accepted(user: str, attribute: str) -> dict[str, tuple[int, int]]:
    """Accepted and judged candidates of `user` by the attribute's value."""
    judged: Counter[tuple[str, str]] = Counter()
    for interaction in sample():
        payload = interaction.payload
        if interaction.scope.user == user and payload.get("action") in {"accept", "reject"}:
            judged[payload["item"][attribute], payload["action"]] += 1
    return {
        value: (judged[value, "accept"], judged[value, "accept"] + judged[value, "reject"])
        for value in ("yes", "no")
    }


def test_the_sample_is_what_its_screenplay_makes() -> None:
    lines = runpy.run_path(str(EXAMPLES / "make_recruiting.py"))["lines"]
    assert SAMPLE.read_text(encoding="utf-8") == "".join(lines())


def test_the_sample_is_as_large_as_the_readme_says() -> None:
    assert detect_format(SAMPLE) is Format.JSONL
    kinds = Counter(interaction.kind.value for interaction in sample())
    assert kinds == {
        "message": 213, "feedback": 91, "tool_call": 41, "tool_result": 41, "retrieval": 5,
    }  # fmt: skip
    assert len({interaction.session for interaction in sample()}) == 45
    assert len({interaction.id for interaction in sample()}) == 391
    assert {interaction.scope.tenant for interaction in sample()} == {"northwind-talent"}


def test_times_run_forward_in_every_session_and_one_session_arrives_late() -> None:
    sessions: dict[str, list[Interaction]] = {}
    for interaction in sample():
        sessions.setdefault(interaction.session, []).append(interaction)
    for session in sessions.values():
        times = [interaction.occurred_at for interaction in session]
        assert times == sorted(set(times))
    starts = [session[0] for session in sessions.values()]
    late = [
        start.session
        for start, before in zip(starts[1:], starts[:-1], strict=True)
        if start.occurred_at < before.occurred_at
    ]
    assert late == ["emeka-voicemail"]


def test_what_several_users_say() -> None:
    short = said_by_users("i prefer short outreach messages.")
    weekends = said_by_users("never contact candidates on weekends.")
    salary = said_by_users("always mention the salary range.")
    assert short == {"bram", "chiara", "emeka", "freya", "goran", "hana"}
    assert weekends == short - {"hana"}
    assert salary == {"bram", "emeka", "freya", "hana"}


def test_what_users_show() -> None:
    assert accepted("ana", "open_source") == {"yes": (16, 17), "no": (4, 17)}
    assert accepted("freya", "remote") == {"yes": (14, 15), "no": (2, 15)}
    assert said_by_users("open source") == said_by_users("open-source") == set()


@pytest.mark.parametrize(
    ("user", "attributes"),
    [
        ("ana", ["remote", "german"]),
        ("freya", ["phd"]),
        ("bram", ["remote"]),
    ],
)
def test_nothing_else_tells_their_yeses_from_their_noes(user: str, attributes: list[str]) -> None:
    for attribute in attributes:
        rates = [yes / judged for yes, judged in accepted(user, attribute).values()]
        assert abs(rates[0] - rates[1]) < 0.15


def test_what_is_done_again_and_again() -> None:
    runs: dict[str, list[Interaction]] = {}
    for interaction in sample():
        if interaction.scope.user == "ana" and "tool" in interaction.payload:
            runs.setdefault(interaction.session, []).append(interaction)
    outcomes = {
        session: all(step.payload.get("ok", True) for step in steps)
        for session, steps in runs.items()
    }
    assert Counter(outcomes.values()) == {True: 5, False: 1}
    procedure = [
        "search_candidates", "check_availability", "compare_salary", "draft_message", "send_message"
    ]  # fmt: skip
    for session, succeeded in outcomes.items():
        called = [
            step.payload["tool"] for step in runs[session] if step.kind is InteractionKind.TOOL_CALL
        ]
        assert ([tool for tool in called if tool in procedure] == procedure) is succeeded


def test_only_what_was_said_to_payroll_is_private() -> None:
    private = {(i.scope.user, i.scope.agent) for i in sample() if i.private}
    assert private == {("goran", "payroll")}
    assert {i.private for i in sample() if i.scope.agent == "payroll"} == {True}
