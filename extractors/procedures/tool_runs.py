"""Groups tool calls into runs: one attempt at one task, with its outcome.

Payloads, all keys but `tool` optional:

    tool_call      {"tool": name, "arguments": {...}, "task": label, "run": id, "call_id": id}
    tool_result    {"tool": name, "ok": true | false, "call_id": id}

Within a session a run starts with the first call, with a call of another `task` or `run` than the
one before, or, where neither is given, with the first call after a message of the user. A labelled
task also starts anew where the user spoke and the run's first tool is called again. A result goes
to the call with its `call_id`, or else to the oldest call of its tool that has none. Payloads that
do not fit are passed over, as are tools whose name is none, and tasks that are sentences.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from extractors.reading.values import is_identifier, is_value
from memory.models import Interaction, InteractionKind, Role

LONGEST_NAME = 60
MOST_TASK_WORDS = 8


@dataclass(slots=True)
class Call:
    """One tool call; `ok` is None until its result is known."""

    interaction: Interaction
    tool: str
    arguments: Mapping[str, Any]
    ok: bool | None = None

    @property
    def call_id(self) -> object:
        """The id by which the result names the call, if any."""
        return self.interaction.payload.get("call_id")


@dataclass(slots=True)
class Run:
    """Consecutive calls of one session that serve one task.

    request: the user's message before the first call, or "".
    """

    task: str | None
    label: tuple[object, ...]
    request: str
    calls: list[Call] = field(default_factory=list)

    @property
    def succeeded(self) -> bool | None:
        """Whether every tool succeeded, retries included; None if the end is not known."""
        last = {call.tool: call.ok for call in self.calls}
        if False in last.values():
            return False
        return True if self.calls[-1].ok else None

    def attempted(self) -> list[str]:
        """The tools called, each once, in the order of their first calls."""
        return list(dict.fromkeys(call.tool for call in self.calls))

    def steps(self) -> dict[str, Call]:
        """The tools that did not fail, each with its first such call, in the order of those."""
        steps: dict[str, Call] = {}
        for call in self.calls:
            if call.ok is not False:
                steps.setdefault(call.tool, call)
        return steps


@dataclass(slots=True)
class _Session:
    run: Run | None = None
    request: str = ""
    asked: bool = True


def read_runs(interactions: Iterable[Interaction]) -> list[Run]:
    """Reads the runs in `interactions` (in the order of the log), in the order they began."""
    sessions: dict[str, _Session] = {}
    runs: list[Run] = []
    for interaction in interactions:
        session = sessions.setdefault(interaction.session, _Session())
        match interaction.kind:
            case InteractionKind.MESSAGE if interaction.role is Role.USER:
                session.request, session.asked = interaction.content, True
            case InteractionKind.TOOL_CALL:
                call = _call(interaction)
                if call is not None and _add(session, call):
                    runs.append(_open(session))
            case InteractionKind.TOOL_RESULT:
                _settle(session, interaction.payload)
            case _:
                pass
    return runs


def _call(interaction: Interaction) -> Call | None:
    tool, arguments = interaction.payload.get("tool"), interaction.payload.get("arguments")
    if not isinstance(tool, str) or len(tool) > LONGEST_NAME or not is_identifier(tool):
        return None
    return Call(interaction, tool, arguments if isinstance(arguments, Mapping) else {})


def _add(session: _Session, call: Call) -> bool:
    """Adds `call` to the session's run; returns True if it began a new one."""
    payload = call.interaction.payload
    task, label = _task(payload.get("task")), (payload.get("task"), payload.get("run"))
    begins = session.run is None or _begins(session.run, label, call.tool, session.asked)
    if begins:
        session.run = Run(task, label, session.request)
    _open(session).calls.append(call)
    session.asked = False
    return begins


def _begins(run: Run, label: tuple[object, ...], tool: str, asked: bool) -> bool:
    if label != run.label:
        return True
    labelled = label != (None, None)
    return asked and (not labelled or tool == run.calls[0].tool)


def _open(session: _Session) -> Run:
    if session.run is None:
        raise AssertionError("a run is open once a call was added")
    return session.run


def _task(label: object) -> str | None:
    if not isinstance(label, str) or not is_value(label.replace("_", " "), MOST_TASK_WORDS):
        return None
    return " ".join(label.replace("_", " ").split())[:LONGEST_NAME] or None


def _settle(session: _Session, payload: Mapping[str, Any]) -> None:
    ok, call_id = payload.get("ok"), payload.get("call_id")
    if session.run is None or not isinstance(ok, bool):
        return
    for call in session.run.calls:
        named = call.call_id == call_id if call_id is not None else call.tool == payload.get("tool")
        if named and call.ok is None:
            call.ok = ok
            return
