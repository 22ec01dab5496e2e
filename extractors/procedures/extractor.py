"""Infers procedures from recurring sequences of tool calls that succeeded.

`tool_runs` defines the payloads and where a run begins. The runs of one task (or all
runs without a task label) are mined together:

1. A successful run is the set of its steps, a step being the first call of a tool that did not
   fail. The closed sets (those no step can be added to without losing a run) that at least
   `MINIMUM_SUPPORT` runs share are the intersections of runs (Pasquier, Bastide, Taouil & Lakhal
   1999, Information Systems 24). The one with the largest support x (steps - 1) becomes a
   procedure, its runs are set aside, and what is left is mined for another way to do it.
2. Its order is what is invariant: a comes before b if it does in every supporting run, so that
   each supporting run is a linear extension of one partial order (Mannila & Meek 2000, KDD;
   frequent closed partial orders: Pei et al. 2006, IEEE TKDE 18). Steps that no run orders alike
   are said to go in any order.
3. Arguments that all supporting runs give with one value belong to the procedure, if it is a number
   or one word; those whose value varies or says more are the task's parameters, and only their
   names stay.

"Worked 5 of 6 times" counts the supporting runs among those and the failed ones that tried at least
half of the steps; a step that failed runs left out is named. `confidence` is (worked + 1) /
(tried + 2), the rule of succession.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from extractors.procedures.tool_runs import Call, Run, read_runs
from extractors.protocol import LogSlice, Reading
from extractors.reading.values import is_identifier
from memory.language.text import content_words
from memory.models import Candidate, Evidence, Interaction, InteractionKind, MemoryKind, Origin
from memory.settings import Settings
from memory.trust.origins import voices
from memory.trust.rules import TrustRules

MINIMUM_SUPPORT = 3
MINIMUM_STEPS = 2
MINIMUM_SUCCESS = 0.5
MOST_WAYS = 3
LATEST_RUNS = 50
MOST_SETS = 2_000
MOST_EVIDENCE = 50
LONGEST_QUOTE = 200
LONGEST_VALUE = 40
SHARED_BY = 0.6
MOST_WORDS = 5

Order = frozenset[tuple[str, str]]
"""Pairs (a, b): a comes before b."""


@dataclass(frozen=True, slots=True)
class Procedures:
    """Infers from all of a user's tool calls how recurring tasks are done."""

    name: str = "procedures"
    version: str = "1"
    reading: Reading = Reading.USER
    reads: frozenset[InteractionKind] = frozenset(
        {InteractionKind.TOOL_CALL, InteractionKind.TOOL_RESULT, InteractionKind.MESSAGE}
    )
    makes: frozenset[MemoryKind] = frozenset({MemoryKind.PROCEDURE})

    async def extract(self, log: LogSlice) -> list[Candidate]:
        """Returns every procedure that the user's runs show; a missing one is withdrawn."""
        return [
            _candidate(found)
            for part in _by_agent(log.interactions, log.rules)
            for found in mine(read_runs(part))
        ]


def create(settings: Settings) -> Procedures:  # noqa: ARG001
    return Procedures()


@dataclass(frozen=True, slots=True)
class Procedure:
    """Steps that recur, their invariant order, and how often they worked.

    stages: the steps in groups; every step of a group comes before every step of the next.
    order: the invariant order of all steps, of which the stages are the coarse form.
    runs: the successful runs that had all the steps, oldest first.
    failed: the failed runs that tried at least half of the steps.
    """

    task: str | None
    stages: tuple[tuple[str, ...], ...]
    order: Order
    runs: tuple[Run, ...]
    failed: tuple[Run, ...]

    @property
    def worked(self) -> int:
        """The number of runs that followed it and succeeded."""
        return len(self.runs)

    @property
    def tried(self) -> int:
        """The number of runs that followed it, or at least half of it."""
        return len(self.runs) + len(self.failed)

    def left_out(self) -> dict[str, int]:
        """Steps that failed runs left out although they went on to later ones, with counts."""
        left_out: Counter[str] = Counter()
        for run in self.failed:
            tools = run.attempted()
            left_out.update({a for a, b in self.order if b in tools and a not in tools})
        return dict(sorted(left_out.items()))


def mine(runs: Sequence[Run]) -> list[Procedure]:
    """Finds the procedures in `runs` (oldest first), by task; those without a task come first."""
    by_task: dict[str, list[Run]] = {}
    for run in runs:
        if run.succeeded is not None:
            by_task.setdefault((run.task or "").casefold(), []).append(run)
    return [
        procedure
        for task in sorted(by_task)
        for procedure in _mine_task(task or None, by_task[task][-LATEST_RUNS:])
    ]


def _mine_task(task: str | None, runs: Sequence[Run]) -> Iterator[Procedure]:
    failed = [run for run in runs if not run.succeeded]
    left = [run for run in runs if run.succeeded]
    for _ in range(MOST_WAYS):
        steps = most_supported([frozenset(run.steps()) for run in left])
        if steps is None:
            return
        supporting = tuple(run for run in left if steps <= run.steps().keys())
        left = [run for run in left if not steps <= run.steps().keys()]
        order = invariant_order(steps, [list(run.steps()) for run in supporting])
        fell_short = tuple(run for run in failed if _tried(run, steps))
        found = Procedure(task, stages(steps, order), order, supporting, fell_short)
        if found.worked / found.tried >= MINIMUM_SUCCESS:
            yield found


def _tried(run: Run, steps: frozenset[str]) -> bool:
    return 2 * len(steps.intersection(run.attempted())) >= len(steps)


def most_supported(runs: Sequence[frozenset[str]]) -> frozenset[str] | None:
    """Returns the closed set of steps with the largest support x (steps - 1), if any qualifies.

    Ties go to the larger set, then to the alphabet.
    """
    best: tuple[int, int, list[str]] | None = None
    for steps in _closed_sets(runs):
        support = sum(steps <= run for run in runs)
        if support >= MINIMUM_SUPPORT and len(steps) >= MINIMUM_STEPS:
            rank = (-support * (len(steps) - 1), -len(steps), sorted(steps))
            best = rank if best is None else min(best, rank)
    return frozenset(best[2]) if best else None


def _closed_sets(runs: Sequence[frozenset[str]]) -> set[frozenset[str]]:
    """All intersections of runs, the commonest runs first, up to `MOST_SETS`."""
    closed: set[frozenset[str]] = set()
    for steps, _ in sorted(Counter(runs).items(), key=lambda item: (-item[1], sorted(item[0]))):
        closed |= {steps} | {steps & other for other in closed}
        if len(closed) > MOST_SETS:
            break
    return closed


def invariant_order(steps: Iterable[str], runs: Iterable[Sequence[str]]) -> Order:
    """Returns the pairs of `steps` that come in the same order in every one of `runs`."""
    pairs = {pair for a, b in combinations(sorted(steps), 2) for pair in ((a, b), (b, a))}
    for run in runs:
        place = {step: position for position, step in enumerate(run)}
        pairs = {(a, b) for a, b in pairs if place[a] < place[b]}
    return frozenset(pairs)


def stages(steps: Iterable[str], order: Order) -> tuple[tuple[str, ...], ...]:
    """Groups `steps` so that all of a group come before all of the next, as finely as possible.

    The groups are the connected components of "neither comes before the other".
    """
    groups: list[set[str]] = []
    for step in sorted(steps):
        loose = [
            group
            for group in groups
            if any((step, one) not in order and (one, step) not in order for one in group)
        ]
        groups = [group for group in groups if group not in loose]
        groups.append({step}.union(*loose))
    named = sorted(tuple(sorted(group)) for group in groups)
    return tuple(sorted(named, key=lambda group: _preceding(group, order)))


def _preceding(group: Sequence[str], order: Order) -> int:
    """The number of steps before all of `group`; any of its steps gives it."""
    return sum(b == group[0] and a not in group for a, b in order)


def describe(procedure: Procedure) -> str:
    """Describes the procedure in one sentence with how often it worked."""
    what = f"How to {procedure.runs[-1].task}" if procedure.task else "How this is done"
    asked = ", ".join(_shared_words(procedure.runs))
    about = f" (asked for: {asked})" if asked and not procedure.task else ""
    steps = ", then ".join(_stage(stage, procedure) for stage in procedure.stages)
    missed = "".join(f"; {n} failed without {step}" for step, n in procedure.left_out().items())
    return f"{what}{about}: {steps}. Worked {procedure.worked} of {procedure.tried} times{missed}."


def _stage(stage: Sequence[str], procedure: Procedure) -> str:
    named = [_step(tool, [run.steps()[tool] for run in procedure.runs]) for tool in stage]
    if len(named) == 1:
        return named[0]
    kept = [f"{a} before {b}" for a, b in sorted(procedure.order) if a in stage and b in stage]
    but = f" but {' and '.join(kept)}" if kept else ""
    return f"{', '.join(named[:-1])} and {named[-1]} in any order{but}"


def _step(tool: str, calls: Sequence[Call]) -> str:
    constant, varying = split_arguments([call.arguments for call in calls])
    shown = [f"{name}={value!r}" for name, value in constant.items()]
    shown += [f"{name}=…" for name in varying]
    return f"{tool}({', '.join(shown)})" if shown else tool


def split_arguments(given: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], list[str]]:
    """Splits arguments into those with one short value in every call, and other names."""
    constant: dict[str, Any] = {}
    varying: list[str] = []
    for name in sorted(set(given[0]).intersection(*given[1:])):
        value = given[0][name]
        if not is_identifier(str(name)):
            continue
        if _is_data(value) and all(arguments[name] == value for arguments in given):
            constant[name] = value
        else:
            varying.append(name)
    return constant, varying


def _is_data(value: object) -> bool:
    """Whether a value is short data: a number, or a text of one word."""
    if isinstance(value, str):
        return len(value) <= LONGEST_VALUE and is_identifier(value)
    return isinstance(value, int | float) and len(str(value)) <= LONGEST_VALUE


def _by_agent(
    interactions: Sequence[Interaction], rules: TrustRules
) -> Iterator[list[Interaction]]:
    """The log once for each agent that acts in it: its own calls, and all that is no call."""
    calls = [i for i in interactions if i.kind is InteractionKind.TOOL_CALL]
    of = {i.id: voice for voice, own in voices(calls, rules).items() for i in own}
    agents = [voice for voice in dict.fromkeys(of.values()) if voice[0] not in (None, Origin.AGENT)]
    yield [i for i in interactions if of.get(i.id) not in agents]
    for agent in agents:
        yield [i for i in interactions if of.get(i.id, agent) == agent]


def _shared_words(runs: Sequence[Run]) -> list[str]:
    """The words that most requests have in common, the commonest first."""
    counts = Counter(word for run in runs for word in set(content_words(run.request)))
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [word for word, count in ranked if count >= SHARED_BY * len(runs)][:MOST_WORDS]


def _candidate(procedure: Procedure) -> Candidate:
    evidence = _evidence(procedure.runs)
    tools = " ".join(tool for stage in procedure.stages for tool in stage).replace("_", " ")
    task = (procedure.task or "").replace(" ", "_")
    return Candidate(
        kind=MemoryKind.PROCEDURE,
        text=describe(procedure),
        evidence=evidence,
        occurred_at=max(piece.occurred_at for piece in evidence),
        attribute=f"procedure.{task}" if task else "procedure",
        value=" > ".join(" + ".join(stage) for stage in procedure.stages),
        confidence=round((procedure.worked + 1) / (procedure.tried + 2), 3),
        importance=0.6,
        search_text=" ".join([tools, *_shared_words(procedure.runs)]),
        payload={"worked": procedure.worked, "tried": procedure.tried},
    )


def _evidence(runs: Sequence[Run]) -> tuple[Evidence, ...]:
    """The latest calls of the supporting runs, oldest first."""
    calls = [call.interaction for run in runs for call in run.calls][-MOST_EVIDENCE:]
    return tuple(
        Evidence(
            interaction_id=call.id,
            quote=call.content[:LONGEST_QUOTE],
            start=0,
            end=min(len(call.content), LONGEST_QUOTE),
            occurred_at=call.occurred_at,
        )
        for call in calls
    )
