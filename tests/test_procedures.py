"""Procedures: how calls group into runs, and what recurs in the runs that succeeded."""

from datetime import UTC, datetime, timedelta
from itertools import combinations, permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extractors.procedures import extractor as procedures
from extractors.procedures.extractor import (
    create,
    describe,
    invariant_order,
    mine,
    most_supported,
    stages,
)
from extractors.procedures.tool_runs import Run, read_runs
from extractors.protocol import LogSlice, Reading
from memory.models import Interaction, InteractionKind, MemoryKind, Role, Scope
from memory.settings import Settings

START = datetime(2026, 3, 2, 8, tzinfo=UTC)
ROLES = {
    InteractionKind.MESSAGE: Role.USER,
    InteractionKind.TOOL_CALL: Role.ASSISTANT,
    InteractionKind.TOOL_RESULT: Role.TOOL,
}


class Log:
    """Writes a log of calls the short way."""

    def __init__(self) -> None:
        self.interactions: list[Interaction] = []

    def add(
        self,
        kind: InteractionKind,
        payload: dict[str, Any],
        content: str = "",
        session: str = "s",
        role: Role | None = None,
    ) -> None:
        number = len(self.interactions) + 1
        self.interactions.append(
            Interaction(
                scope=Scope("tenant", "user", session=session),
                id=f"i{number}",
                kind=kind,
                role=role or ROLES[kind],
                content=content,
                occurred_at=START + timedelta(minutes=number),
                payload=payload,
            )
        )

    def say(self, content: str, session: str = "s", role: Role = Role.USER) -> None:
        self.add(InteractionKind.MESSAGE, {}, content, session, role)

    def call(
        self,
        tool: str,
        ok: bool | None = True,
        session: str = "s",
        arguments: dict[str, Any] | None = None,
        **label: object,
    ) -> None:
        payload = {"tool": tool, "arguments": arguments or {}, **label}
        self.add(InteractionKind.TOOL_CALL, payload, f"{tool}()", session)
        if ok is not None:
            self.add(InteractionKind.TOOL_RESULT, {"tool": tool, "ok": ok}, "", session)

    def run(self, *tools: str, failing: str = "", **label: object) -> None:
        self.say("Please do it.")
        for tool in tools:
            self.call(tool, ok=tool != failing, **label)  # type: ignore[arg-type]

    @property
    def runs(self) -> list[Run]:
        return read_runs(self.interactions)

    def told(self) -> list[str]:
        return [describe(found) for found in mine(self.runs)]


class TestRuns:
    def test_a_message_of_the_user_begins_a_run_and_one_of_the_agent_does_not(self) -> None:
        log = Log()
        log.say("Book a room for Ada.")
        log.call("search")
        log.say("Found one.", role=Role.ASSISTANT)
        log.call("book")
        log.say("And one for Bo.")
        log.call("search")
        assert [(run.request, run.attempted()) for run in log.runs] == [
            ("Book a room for Ada.", ["search", "book"]),
            ("And one for Bo.", ["search"]),
        ]

    def test_a_label_outlasts_messages_until_it_changes_or_starts_over(self) -> None:
        log = Log()
        log.run("search", "book", task="book_room")
        log.say("Yes, that one.")
        log.call("confirm", task="book_room")
        log.run("search", task="book_room")
        log.call("search", task="order lunch")
        log.call("pay", task="order lunch", run="second")
        assert [(run.task, run.attempted()) for run in log.runs] == [
            ("book room", ["search", "book", "confirm"]),
            ("book room", ["search"]),
            ("order lunch", ["search"]),
            ("order lunch", ["pay"]),
        ]

    def test_sessions_do_not_mix(self) -> None:
        log = Log()
        log.call("a", session="one")
        log.call("b", session="two")
        log.call("c", session="one")
        assert [run.attempted() for run in log.runs] == [["a", "c"], ["b"]]

    @pytest.mark.parametrize(
        ("results", "succeeded"),
        [
            ([("a", True), ("b", True)], True),
            ([("a", False), ("b", True)], False),
            ([("a", False), ("a", True), ("b", True)], True),
            ([("a", True), ("b", False)], False),
            ([("a", None), ("b", True)], True),
            ([("a", True), ("b", None)], None),
        ],
    )
    def test_success(self, results: list[tuple[str, bool | None]], succeeded: bool | None) -> None:
        log = Log()
        for tool, ok in results:
            log.call(tool, ok=ok)
        (run,) = log.runs
        assert run.succeeded is succeeded

    def test_results_find_their_calls_by_id(self) -> None:
        log = Log()
        log.call("get", ok=None, call_id="1")
        log.call("get", ok=None, call_id="2")
        log.add(InteractionKind.TOOL_RESULT, {"ok": False, "call_id": "2"})
        log.add(InteractionKind.TOOL_RESULT, {"ok": True, "call_id": "1"})
        (run,) = log.runs
        assert [call.ok for call in run.calls] == [True, False]

    @pytest.mark.parametrize("payload", [{}, {"tool": 3}, {"tool": ""}, {"tool": "x" * 61}])
    def test_a_call_without_a_readable_tool_is_passed_over(self, payload: dict[str, Any]) -> None:
        log = Log()
        log.add(InteractionKind.TOOL_CALL, payload)
        log.add(InteractionKind.TOOL_RESULT, {"tool": "x", "ok": True})
        assert log.runs == []

    def test_odd_arguments_and_labels_do_no_harm(self) -> None:
        log = Log()
        log.add(InteractionKind.TOOL_CALL, {"tool": "a", "arguments": [1], "task": ["x"]})
        (run,) = log.runs
        assert (run.task, run.calls[0].arguments) == (None, {})


class TestMining:
    def test_says_the_steps_and_how_often_they_worked(self) -> None:
        log = Log()
        for who in ("ada", "bo", "cy"):
            log.say(f"Interview {who}")
            log.call("find_slot", arguments={"candidate": who, "days": 5}, task="set_up_interview")
            log.call(
                "invite", arguments={"candidate": who, "tone": "warm"}, task="set_up_interview"
            )
        log.run("find_slot", "invite", failing="invite", task="set_up_interview")
        (told,) = log.told()
        assert told == (
            "How to set up interview: find_slot(days=5, candidate=…), then invite(tone='warm',"
            " candidate=…). Worked 3 of 4 times."
        )

    def test_names_the_step_whose_omission_failed(self) -> None:
        log = Log()
        for _ in range(3):
            log.run("search", "check", "send", task="outreach")
        log.run("search", "send", failing="send", task="outreach")
        (told,) = log.told()
        assert told.endswith("Worked 3 of 4 times; 1 failed without check.")

    def test_extra_steps_and_retries_are_left_out(self) -> None:
        log = Log()
        log.run("search", "look", "send", task="outreach")
        log.run("search", "send", "log", task="outreach")
        log.say("Go on.")
        for tool, ok in (("search", False), ("search", True), ("send", True)):
            log.call(tool, ok=ok, task="outreach")
        (found,) = mine(log.runs)
        assert (found.stages, found.worked, found.tried) == ((("search",), ("send",)), 3, 3)

    def test_only_the_invariant_order_is_kept(self) -> None:
        log = Log()
        for middle in (("b", "c", "d"), ("c", "b", "d"), ("c", "d", "b"), ("c", "d", "b")):
            log.run("a", *middle, "e", task="deploy")
        (found,) = mine(log.runs)
        assert found.stages == (("a",), ("b", "c", "d"), ("e",))
        assert "a, then b, c and d in any order but c before d, then e." in describe(found)

    def test_two_ways_of_one_task(self) -> None:
        log = Log()
        for number in range(4):
            log.run("search", "call", "book", task="book", run=number)
        for number in range(4, 7):
            log.run("web", "pay", task="book", run=number)
        ways = [stage for found in mine(log.runs) for stage in found.stages]
        assert ways == [("search",), ("call",), ("book",), ("web",), ("pay",)]

    def test_tasks_without_a_label_are_told_by_what_was_asked(self) -> None:
        log = Log()
        for city in ("Rome", "Oslo", "Bern"):
            log.say(f"Plan the travel to {city}, please")
            log.call("flights", arguments={"to": city})
            log.call("hotels", arguments={"in": city})
        for word in ("one", "two"):
            log.say(f"Translate {word}")
            log.call("translate")
        (told,) = log.told()
        assert told == (
            "How this is done (asked for: plan, travel): flights(to=…), then hotels(in=…)."
            " Worked 3 of 3 times."
        )

    @pytest.mark.parametrize(
        ("worked", "failed", "found"), [(2, 0, 0), (3, 0, 1), (3, 3, 1), (3, 4, 0)]
    )
    def test_support_and_success(self, worked: int, failed: int, found: int) -> None:
        log = Log()
        for _ in range(worked):
            log.run("a", "b", task="t")
        for _ in range(failed):
            log.run("a", "b", failing="b", task="t")
        assert len(mine(log.runs)) == found

    def test_one_step_is_no_procedure_and_unknown_ends_do_not_count(self) -> None:
        log = Log()
        for _ in range(5):
            log.run("a", task="single")
            log.say("Next.")
            log.call("a", task="open")
            log.call("b", ok=None, task="open")
        assert mine(log.runs) == []

    def test_a_long_identical_run_is_mined_at_once(self) -> None:
        log = Log()
        tools = [f"step_{number:02}" for number in range(40)]
        for _ in range(10):
            log.run(*tools, task="long")
        (found,) = mine(log.runs)
        assert [stage[0] for stage in found.stages] == tools

    async def test_as_an_extractor(self) -> None:
        log = Log()
        for _ in range(30):
            log.run("search", "send", task="outreach")
        extractor = create(Settings())
        assert extractor.reading is Reading.USER
        (found,) = await extractor.extract(LogSlice(Scope("t", "u"), log.interactions))
        assert {found.kind} == extractor.makes == {MemoryKind.PROCEDURE}
        assert (found.attribute, found.value) == ("procedure.outreach", "search > send")
        assert found.confidence == pytest.approx(31 / 32, abs=1e-3)
        calls = [i for i in log.interactions if i.kind is InteractionKind.TOOL_CALL]
        cited = [piece.interaction_id for piece in found.evidence]
        assert cited == [call.id for call in calls[-procedures.MOST_EVIDENCE :]]
        assert found.evidence[-1].quote == "send()"
        assert found.occurred_at == calls[-1].occurred_at


TOOLS = st.sampled_from("abcdef")
RUNS = st.lists(st.frozensets(TOOLS), max_size=12)


class TestOrders:
    @given(RUNS)
    def test_most_supported_is_the_best_of_all_sets(self, runs: list[frozenset[str]]) -> None:
        def worth(steps: frozenset[str]) -> int:
            support = sum(steps <= run for run in runs)
            return support * (len(steps) - 1) if support >= procedures.MINIMUM_SUPPORT else 0

        every = [frozenset(c) for n in range(2, 7) for c in combinations("abcdef", n)]
        best = max(map(worth, every))
        found = most_supported(runs)
        assert (worth(found) if found else 0) == best

    @given(st.lists(st.permutations("abcde"), min_size=1, max_size=5))
    def test_stages_hold_in_every_run_and_are_as_fine_as_possible(
        self, runs: list[list[str]]
    ) -> None:
        order = invariant_order("abcde", runs)
        groups = stages("abcde", order)
        assert sorted(step for group in groups for step in group) == list("abcde")
        for earlier, later in combinations(groups, 2):
            assert all((a, b) in order for a in earlier for b in later)
        for group in groups:
            for size in range(1, len(group)):
                for first in combinations(group, size):
                    rest = set(group) - set(first)
                    assert not all((a, b) in order for a in first for b in rest)

    @pytest.mark.parametrize("run", list(permutations("abc")))
    def test_one_run_is_its_own_order(self, run: tuple[str, ...]) -> None:
        assert stages("abc", invariant_order("abc", [run])) == tuple((step,) for step in run)
