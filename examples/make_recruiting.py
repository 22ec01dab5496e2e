"""Writes recruiting.jsonl from the screenplay recruiting.txt, the same bytes every time.

Run it after a change to the screenplay: python examples/make_recruiting.py
"""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from memory.log.envelope import to_json
from memory.models import Interaction, InteractionKind, Role, Scope

HERE = Path(__file__).parent
TENANT = "northwind-talent"
AGENTS = {"scout", "payroll"}
DONE = {"accept": "Accepted", "reject": "Rejected", "choose": "Chose", "edit": "Edited"}


@dataclass(frozen=True)
class Candidate:
    """Whom the agents talk about."""

    name: str
    item: Mapping[str, str]


@dataclass
class Session:
    """One conversation while its lines are read; `clock` is the time of the last one."""

    scope: Scope
    clock: datetime
    arrived: datetime
    private: bool
    source: str
    task: str = ""
    tool: str = ""
    interactions: list[Interaction] = field(default_factory=list)

    def add(
        self,
        kind: InteractionKind,
        role: Role,
        content: str,
        payload: Mapping[str, Any] | None = None,
    ) -> None:
        """Append an interaction, a few seconds after the one before it."""
        self.clock += timedelta(seconds=2 if role is Role.TOOL else 10 + len(content) // 4)
        self.interactions.append(
            Interaction(
                scope=self.scope,
                id=f"{self.scope.session}-{len(self.interactions) + 1:02}",
                kind=kind,
                role=role,
                content=content,
                occurred_at=self.clock,
                payload=payload or {},
                private=self.private,
                source=self.source,
            )
        )


def interactions(screenplay: str) -> list[Interaction]:
    """Every interaction of the screenplay, in the order in which they reached the log."""
    candidates: dict[str, Candidate] = {}
    sessions: list[Session] = []
    for line in screenplay.splitlines():
        if not line or line.startswith("#"):
            continue
        head, _, rest = line.partition(" ")
        if head == "candidate":
            key, candidate = _candidate(rest)
            candidates[key] = candidate
        elif head == "==":
            sessions.append(_session(rest))
        else:
            _act(sessions[-1], head, rest, candidates)
    sessions.sort(key=lambda session: session.arrived)
    return [interaction for session in sessions for interaction in session.interactions]


def _candidate(line: str) -> tuple[str, Candidate]:
    who, _, attributes = line.partition(" ; ")
    key, _, name = who.partition(" ")
    return key, Candidate(name, _pairs(attributes))


def _session(line: str) -> Session:
    name, user, start, *more = (part.strip() for part in line.split("|"))
    options = _pairs(more[0]) if more else {}
    began = datetime.fromisoformat(start).replace(tzinfo=UTC)
    arrived = options.get("arrived")
    return Session(
        scope=Scope(TENANT, user, options.get("agent", "scout"), name),
        clock=began,
        arrived=datetime.fromisoformat(arrived).replace(tzinfo=UTC) if arrived else began,
        private=options.get("private") == "yes",
        source=options.get("source", "client"),
    )


def _act(session: Session, head: str, rest: str, candidates: Mapping[str, Candidate]) -> None:
    speaker = head.removesuffix(":")
    match head:
        case "task:":
            session.task = rest
        case ">":
            _call(session, rest)
        case "<":
            _result(session, rest)
        case "~":
            source, text = rest.split(" | ", 1)
            session.add(InteractionKind.RETRIEVAL, Role.TOOL, text, {"source": source})
        case "!":
            _feedback(session, rest, candidates)
        case _ if speaker in {session.scope.user, session.scope.agent}:
            role = Role.ASSISTANT if speaker in AGENTS else Role.USER
            session.add(InteractionKind.MESSAGE, role, rest)
        case _:
            raise ValueError(f"{session.scope.session}: nobody here is called {head!r}")


def _call(session: Session, line: str) -> None:
    session.tool, *_ = line.split()
    given = _pairs(line.removeprefix(session.tool))
    arguments = {name: int(value) if value.isdigit() else value for name, value in given.items()}
    shown = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    payload = {"tool": session.tool, "arguments": arguments, "task": session.task}
    session.add(InteractionKind.TOOL_CALL, Role.ASSISTANT, f"{session.tool}({shown})", payload)


def _result(session: Session, line: str) -> None:
    outcome, _, text = line.partition(" ")
    payload = {"tool": session.tool, "ok": outcome == "ok", "task": session.task}
    session.add(InteractionKind.TOOL_RESULT, Role.TOOL, text, payload)


def _feedback(session: Session, line: str, candidates: Mapping[str, Candidate]) -> None:
    judged, remark = line.split(" | ", 1)
    action, key, *more = judged.split()
    payload: dict[str, Any] = {"action": action, "item_id": key}
    if action == "edit":
        before, after = " ".join(more).split(" -> ")
        payload |= {"item": _pairs(before), "edited": _pairs(after)}
    else:
        payload["item"] = candidates[key].item
    if action == "choose":
        payload["options"] = [candidates[other].item for other in more if other != "of"]
    name = candidates[key].name if key in candidates else key
    content = f"{DONE[action]} {name}. {remark}"
    session.add(InteractionKind.FEEDBACK, Role.USER, content, payload)


def _pairs(text: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in shlex.split(text))


def lines() -> Iterator[str]:
    """The lines of recruiting.jsonl."""
    for interaction in interactions((HERE / "recruiting.txt").read_text(encoding="utf-8")):
        yield to_json(interaction) + "\n"


if __name__ == "__main__":
    (HERE / "recruiting.jsonl").write_text("".join(lines()), encoding="utf-8")
