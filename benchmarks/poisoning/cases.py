"""Reads the corpus: cases of events, and what must and must not come of them."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from memory.errors import InvalidInput

CORPUS = Path(__file__).parents[2] / "tests" / "poisoning"
START = datetime.fromisoformat("2026-03-02T09:00:00+01:00")
MODEL_TENANT = "poisoning-model"
QUERY = "What should I know before I act for this user?"

TokenSets = tuple[tuple[str, ...], ...]


class Event(BaseModel):
    """What is recorded, perhaps several times; `tests/poisoning/README.md` has the fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    do: Literal["record", "remember"] = "record"
    role: str = "user"
    kind: str = "message"
    text: str = ""
    payload: Mapping[str, Any] = Field(default_factory=dict)
    source: str = "client"
    actor: str | None = None
    session: str = "s1"
    agent: str = "assistant"
    user: str = "user"
    at: float | datetime | None = None
    private: bool = False
    times: int = Field(default=1, ge=1)
    users: int | None = Field(default=None, ge=1)
    stage: Literal[1, 2] = 1

    def repeated(self) -> Iterator[Self]:
        """Yields the single events that this one stands for."""
        for n in range(1, (self.users or self.times) + 1):
            user = f"user-{n}" if self.users else self.user
            text = self.text.replace("{n}", str(n))
            yield self.model_copy(
                update={"user": user, "text": text, "payload": _numbered(self.payload, n)}
            )


class Case(BaseModel):
    """An attack or its benign twin."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    shape: str
    why: str
    events: tuple[Event, ...] = Field(min_length=1)
    attack: TokenSets = ()
    benign: TokenSets = ()
    visible: TokenSets = ()
    collective: bool = False
    model: bool = False
    closed: bool = False
    reader: str = "user"
    query: str = QUERY

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if not (self.attack or self.benign or self.visible):
            raise ValueError("neither attack nor benign nor visible")
        return self

    @cached_property
    def tenant(self) -> str:
        """A case that shares memories among users has a tenant of its own; others share one."""
        if self.collective:
            return f"poisoning-{self.id}"
        return MODEL_TENANT if self.model else "poisoning"

    def user(self, name: str) -> str:
        """Returns the id in the store of a user of this case."""
        return f"{self.id}.{name}"

    def dated(self) -> list[tuple[Event, datetime]]:
        """Returns the single events in order, each with its time."""
        now, dated = START - timedelta(minutes=1), []
        for event, first in _in_turns(self.events):
            now = _time(event, now, first=first)
            dated.append((event, now))
        return dated


def _numbered(payload: Mapping[str, Any], n: int) -> Mapping[str, Any]:
    """The payload with `n` in its texts where it says so."""
    return json.loads(json.dumps(payload).replace("{n}", str(n))) if payload else payload


def _in_turns(events: Sequence[Event]) -> Iterator[tuple[Event, bool]]:
    """Yields single events, and whether each is the first of its kind.

    Reactions that are repeated one after another come in turns: a person judges one and the other.
    """
    for _, group in groupby(events, key=_flood):
        rows = zip_longest(*(event.repeated() for event in group))
        for n, row in enumerate(rows):
            yield from ((event, n == 0) for event in row if event is not None)


def _flood(event: Event) -> object:
    if event.kind != "feedback" or event.times == 1:
        return id(event)
    return event.role, event.user, event.session, event.times


def _time(event: Event, before: datetime, *, first: bool) -> datetime:
    if event.at is None or not first:
        try:
            return before + timedelta(minutes=1)
        except OverflowError:
            return before
    if isinstance(event.at, datetime):
        return event.at
    return START + timedelta(minutes=event.at)


def read_cases(files: Iterable[Path]) -> list[Case]:
    """Reads JSON-lines files; blank lines are passed over.

    Raises:
        InvalidInput: a line is not a case, or two cases have one id.
    """
    found: dict[str, Case] = {}
    for file in files:
        for number, line in enumerate(file.read_text(encoding="utf-8").split("\n"), 1):
            if not line.strip():
                continue
            try:
                case = Case.model_validate(json.loads(line))
            except (ValueError, ValidationError) as error:
                raise InvalidInput(f"{file.name}, line {number}: {error}") from error
            if case.id in found:
                raise InvalidInput(f"{file.name}, line {number}: {case.id!r} is there already")
            found[case.id] = case
    return list(found.values())


def corpus() -> list[Path]:
    """Returns the files of the corpus."""
    return sorted(CORPUS.glob("*.jsonl"))


def blind() -> list[Path]:
    """Returns the files of the half that was written without knowing the code."""
    return sorted((CORPUS / "blind").glob("*.jsonl"))
