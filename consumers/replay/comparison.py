"""Compares two generations, memory by memory, before the new one serves anybody.

Memories of two generations meet under their belief key, as assertions do. It makes no difference
which of the two serves.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import groupby
from pathlib import Path

from psycopg.rows import DictRow

from consumers.generations.quality import Quality, checked
from consumers.generations.registry import Generation
from consumers.operations.costs import By, Cost, read_costs
from consumers.runtime.tenants import tenants, users
from memory.database import Database
from memory.errors import InvalidImport, InvalidInput
from memory.language.text import folded
from memory.models import MemoryKind, Scope
from memory.recall.search import Recaller

EXAMPLES = 5
"""The default number of examples for each change of each kind."""

DEPTH = 10
"""The ranks of an answer in which a question's evidence counts as found."""


class MemoryChange(StrEnum):
    """The change of a memory from one generation to the other.

    ADDED, LOST: only the second, or only the first, has a belief there.
    CHANGED: both do, with different content.
    REDATED: both have the same content, with other times.
    """

    ADDED = "added"
    LOST = "lost"
    CHANGED = "changed"
    REDATED = "re-dated"


@dataclass(frozen=True, slots=True)
class MemoryVersion:
    """A memory in one of the two generations."""

    memory: int
    text: str
    value: str | None
    valid_from: datetime
    valid_to: datetime | None
    maker: str
    single: bool

    @property
    def held(self) -> tuple[datetime, datetime | None]:
        """The time during which it holds."""
        return (self.valid_from, self.valid_to)


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference between the generations."""

    tenant: str
    user: str
    kind: MemoryKind
    change: MemoryChange
    before: MemoryVersion | None
    after: MemoryVersion | None


@dataclass(frozen=True, slots=True)
class EvaluationQuestion:
    """A question about a user, and the interactions that hold its answer."""

    scope: Scope
    query: str
    evidence: frozenset[str]


@dataclass(slots=True)
class GenerationQuality:
    """The quality of one generation's memories, over all users compared.

    makers: their quality by maker.
    duplicates: memories of a user with the same words as another one.
    contested: memories in open conflicts.
    found: the share of the questions' evidence that the first ten memories cite; None without
        questions.
    spent: the cost of model calls for this generation, over all users of the tenants compared, from
        the ledger; None if no model was asked.
    """

    generation: str
    memories: int = 0
    duplicates: int = 0
    contested: int = 0
    makers: dict[str, Quality] = field(default_factory=dict)
    found: float | None = None
    spent: Cost | None = None

    @property
    def quality(self) -> Quality:
        """All makers together."""
        total = Quality("all")
        for quality in self.makers.values():
            total = total.plus(quality)
        return total


@dataclass(slots=True)
class Comparison:
    """The differences between `before` and `after`, and the quality of both.

    same: memories that both have, by kind.
    changes: numbers of differences, by kind and change.
    examples: some of them, a few for each change of each kind.
    """

    before: GenerationQuality
    after: GenerationQuality
    users: int = 0
    questions: int = 0
    same: dict[MemoryKind, int] = field(default_factory=dict)
    changes: dict[MemoryKind, dict[MemoryChange, int]] = field(default_factory=dict)
    examples: list[Difference] = field(default_factory=list)

    @property
    def different(self) -> int:
        """The number of differences."""
        return sum(sum(counts.values()) for counts in self.changes.values())


Sides = tuple[list[MemoryVersion], list[MemoryVersion]]


def differences(
    scope: Scope, before: int, rows: Sequence[DictRow]
) -> tuple[dict[MemoryKind, int], list[Difference]]:
    """Compares a user's memories; returns how many both share, by kind, and the differences.

    `rows` are the current memories of both, as `comparison.current` orders them; those that are not
    of generation `before` are of the other. Pure.
    """
    same: dict[MemoryKind, int] = {}
    found: list[Difference] = []
    for kind, sides in _by_key(before, rows):
        shared, pairs = _paired(sides)
        if shared:
            same[kind] = same.get(kind, 0) + shared
        found += [
            Difference(scope.tenant, scope.user, kind, _change(ours, theirs), ours, theirs)
            for ours, theirs in pairs
        ]
    return same, found


def _by_key(before: int, rows: Sequence[DictRow]) -> Iterator[tuple[MemoryKind, Sides]]:
    for _, group in groupby(rows, key=lambda row: row["belief_key"]):
        kinds: dict[str, Sides] = {}
        for row in group:
            ours, theirs = kinds.setdefault(row["kind"], ([], []))
            (ours if row["generation"] == before else theirs).append(_side(row))
        for kind, sides in kinds.items():
            yield MemoryKind(kind), sides


def _side(row: DictRow) -> MemoryVersion:
    return MemoryVersion(
        row["memory_id"],
        row["text"],
        row["value"],
        row["valid_from"],
        row["valid_to"],
        f"{row['extractor']} {row['extractor_version']}",
        row["single_valued"] or row["attribute"] is None,
    )


def _paired(sides: Sides) -> tuple[int, list[tuple[MemoryVersion | None, MemoryVersion | None]]]:
    """Counts memories on both sides, and pairs the others with the closest one, if any.

    For an attribute with many values at a time, one value is not a change of another.
    """
    ours, theirs = list(sides[0]), list(sides[1])
    shared = len(_met(ours, theirs, lambda s: (s.value, s.text, s.held)))
    pairs: list[tuple[MemoryVersion | None, MemoryVersion | None]] = []
    pairs += _met(ours, theirs, lambda s: (s.value, s.text))
    pairs += _met(ours, theirs, lambda s: s.value)
    pairs += _met(ours, theirs, lambda s: s.single or s)
    return shared, [*pairs, *((s, None) for s in ours), *((None, s) for s in theirs)]


def _met(
    ours: list[MemoryVersion], theirs: list[MemoryVersion], same: Callable[[MemoryVersion], object]
) -> list[tuple[MemoryVersion, MemoryVersion]]:
    """Removes from both sides, in order, those that are equal under `same`."""
    pairs = []
    for side in list(ours):
        other = next((t for t in theirs if same(t) == same(side)), None)
        if other is not None:
            pairs.append((side, other))
            ours.remove(side)
            theirs.remove(other)
    return pairs


def _change(before: MemoryVersion | None, after: MemoryVersion | None) -> MemoryChange:
    if before is None:
        return MemoryChange.ADDED
    if after is None:
        return MemoryChange.LOST
    if (before.value, before.text) == (after.value, after.text):
        return MemoryChange.REDATED
    return MemoryChange.CHANGED


class Compare:
    """Compares two generations with the worker's role, user by user.

    examples: for each change of each kind.
    language: the store's, for the rule of `quality`.

    Raises:
        InvalidInput: both are the same one.
    """

    def __init__(
        self,
        database: Database,
        before: Generation,
        after: Generation,
        *,
        language: str,
        examples: int = EXAMPLES,
        progress: Callable[[Comparison], None] = lambda _: None,
    ) -> None:
        if before.id == after.id:
            raise InvalidInput(f"cannot compare generation {before.name!r} with itself")
        self._database = database
        self._before = before
        self._after = after
        self._language = language
        self._examples = examples
        self._progress = progress
        self.done = Comparison(GenerationQuality(before.name), GenerationQuality(after.name))

    async def run(self, tenant: str | None = None, only: Sequence[str] | None = None) -> Comparison:
        """Compares every user, those of one tenant, or `only` some of each."""
        async for each in tenants(self._database, tenant):
            async for scope in users(self._database, each):
                if only is None or scope.user in only:
                    await self._user(scope)
                    self.done.users += 1
                    self._progress(self.done)
        spent = {
            cost.of: cost for cost in await read_costs(self._database, tenant, by=By.GENERATION)
        }
        for standing in (self.done.before, self.done.after):
            standing.spent = spent.get(standing.generation)
        return self.done

    async def ask(self, recaller: Recaller, questions: Iterable[EvaluationQuestion]) -> None:
        """Measures the share of the questions' evidence that each generation finds."""
        found: dict[str, list[float]] = {self._before.name: [], self._after.name: []}
        for question in questions:
            for generation in (self._before, self._after):
                answer = await recaller.within(
                    question.scope, question.query, generation.id, k=DEPTH
                )
                cited = {source for item in answer for source in item.citations}
                share = len(cited & question.evidence) / len(question.evidence)
                found[generation.name].append(share)
            self.done.questions += 1
        for standing in (self.done.before, self.done.after):
            shares = found[standing.generation]
            standing.found = sum(shares) / len(shares) if shares else None

    async def _user(self, scope: Scope) -> None:
        params = {"before": self._before.id, "after": self._after.id}
        rows = await self._database.fetch(scope, "comparison.current", params)
        same, found = differences(scope, self._before.id, rows)
        for kind, shared in same.items():
            self.done.same[kind] = self.done.same.get(kind, 0) + shared
        for difference in found:
            self._note(difference)
        for standing, generation in (
            (self.done.before, self._before),
            (self.done.after, self._after),
        ):
            await self._stands(
                scope, standing, [r for r in rows if r["generation"] == generation.id]
            )

    def _note(self, difference: Difference) -> None:
        counts = self.done.changes.setdefault(difference.kind, {})
        counts[difference.change] = counts.get(difference.change, 0) + 1
        if counts[difference.change] <= self._examples:
            self.done.examples.append(difference)

    async def _stands(
        self, scope: Scope, standing: GenerationQuality, rows: Sequence[DictRow]
    ) -> None:
        said = {(r["kind"], r["agent_id"], folded(r["text"])) for r in rows}
        standing.memories += len(rows)
        standing.duplicates += len(rows) - len(said)
        standing.contested += sum(bool(row["contested"]) for row in rows)
        memories = [(scope.user, row["memory_id"]) for row in rows]
        for _, quality in await checked(self._database, scope.tenant, memories, self._language):
            known = standing.makers.get(quality.maker, Quality(quality.maker))
            standing.makers[quality.maker] = known.plus(quality)


def spell(side: MemoryVersion) -> str:
    """Returns the days between which a memory holds."""
    until = f" to {side.valid_to:%Y-%m-%d}" if side.valid_to else ""
    return f"{side.valid_from:%Y-%m-%d}{until}"


def measures(done: Comparison) -> list[tuple[str, str, str]]:
    """Returns each measure of both sides: its name, and its value in `before` and `after`."""
    sides = (done.before, done.after)
    told = [
        ("memories", [f"{s.memories:,}" for s in sides]),
        ("sound", [f"{s.quality.score:.1%}" for s in sides]),
        *((f"  by {m}", [_score(s, m) for s in sides]) for m in _makers(sides)),
        ("quotes that stand", [f"{s.quality.standing:,} of {s.quality.quotes:,}" for s in sides]),
        ("said twice", [f"{s.duplicates:,}" for s in sides]),
        ("contested", [f"{s.contested:,}" for s in sides]),
    ]
    if any(s.spent for s in sides):
        spent = [s.spent or Cost(s.generation) for s in sides]
        told.append(("calls of models", [f"{c.calls:,} ({c.cached:,} cached)" for c in spent]))
        told.append(("tokens", [f"{c.input_tokens:,} in, {c.output_tokens:,} out" for c in spent]))
        told.append(("cost", [f"{c.cost:,.4f}" for c in spent]))
    if done.questions:
        shares = [f"{s.found:.1%}" if s.found is not None else "" for s in sides]
        told.append((f"evidence of {done.questions:,} questions in the first {DEPTH}", shares))
    return [(name, before, after) for name, (before, after) in told]


def _makers(sides: Iterable[GenerationQuality]) -> list[str]:
    return sorted({maker for standing in sides for maker in standing.makers})


def _score(standing: GenerationQuality, maker: str) -> str:
    quality = standing.makers.get(maker)
    return f"{quality.score:.1%} of {quality.memories:,}" if quality else ""


def read_questions(path: Path) -> Iterator[EvaluationQuestion]:
    """Reads questions from a file of JSON lines: tenant, user, query, and the evidence's ids.

    Raises:
        InvalidImport: a line is not such a question; the message names it.
    """
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield _question(line, f"{path}, line {number}")


def _question(line: str, place: str) -> EvaluationQuestion:
    try:
        said = json.loads(line)
        evidence = frozenset(said["evidence"])
        scope = Scope(said["tenant"], said["user"])
        query = said["query"]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidImport(
            f"{place} is not a question with tenant, user, query and evidence:"
            f" {line.strip()[:80]!r}"
        ) from error
    if not evidence or not isinstance(query, str):
        raise InvalidImport(f"{place} names no evidence, or no query: {line.strip()[:80]!r}")
    return EvaluationQuestion(scope, query, evidence)
