"""Fits the weights of recall's signals, and says how well they do on conversations not fitted to.

    python -m benchmarks.fit_recall --locomo PATH --beam PATH [--write]

imports both data sets through the client, asks every question, and takes the signals of the pool
as recall computes them. LoCoMo counts twice: as the packaged extractors remember it, and with the
annotators in the place of a language model (`benchmarks.recorded`; `oracle` in the report), so that
one set of weights serves both kinds of memories.

The weights are those of a listwise logistic model: each memory that cites evidence against all that
do not, of its question (Cao et al. 2007, with one positive at a time). The three sets weigh the
same, and regularisation is on standardised signals, undone in what is written.

Cross-validation leaves out one conversation at a time: the numbers printed for it come from
weights that never saw any of its questions. `--write` fits on everything and writes
`memory/ranking_weights.json`.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import numpy as np
from anyio import to_thread
from numpy.typing import NDArray
from scipy.optimize import minimize

from benchmarks.datasets import BEAM_FACTS, TENANT, DataSet, Question, load
from benchmarks.metrics import Ranked
from benchmarks.recall import Quoted, blocks, quoted
from benchmarks.recorded import as_the_model
from benchmarks.store import fill, fresh_store
from memory import embedded
from memory.beliefs.long_term import LongTerm
from memory.database import Database, DatabaseRole
from memory.embedding import create_embedder
from memory.language.questions import Question as Read
from memory.models import Scope
from memory.recall.ranking import SIGNALS, ranked, totals
from memory.recall.search import Recaller
from memory.settings import Settings

WEIGHTS = Path(__file__).parent.parent / "memory" / "ranking_weights.json"
L2 = 0.01
# What is fitted to are the first of the two orders, by meaning and by words: a pool chosen by the
# signals themselves would hide from them what they are good for.
FITTED_POOL = (0, 60)
ORACLE = "oracle"
# Facts are what most questions ask for. What orders and summaries want is mostly unlike the
# question, so that fitting to them would unlearn the rest.
MASS = dict.fromkeys(BEAM_FACTS, 2.0) | {"event_ordering": 0.3, "summarization": 0.3}

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Case:
    """A question with the signals of its pool, and what each memory of the pool cites.

    fitted: the signals of the memories that weights are fitted to; `relevant`: which of those cite
        evidence.
    """

    form: str
    question: Question
    read: Read
    fitted: Floats
    relevant: NDArray[np.bool_]
    table: Floats
    cited: tuple[frozenset[str], ...]
    quoted: tuple[frozenset[str], ...]
    tokens: tuple[int, ...]
    sessions: tuple[str | None, ...]


async def collect(data: DataSet, form: str, **changes: object) -> list[Case]:
    """Every question of a data set with its pool, through a fresh store under `changes`."""
    async with fresh_store(**changes) as settings:
        await fill(settings, data.interactions())
        url = await to_thread.run_sync(embedded.start, settings.data_dir)
        async with Database(settings, url, DatabaseRole.CLIENT) as database:
            return await _cases(data, form, database, settings, await quoted(settings))


async def _cases(
    data: DataSet, form: str, database: Database, settings: Settings, quotes: Quoted
) -> list[Case]:
    none: frozenset[str] = frozenset()
    embedder = create_embedder(settings)
    long_term = LongTerm(database, embedder, settings.language)
    recaller = Recaller(database, long_term, embedder, settings.language)
    cases = []
    for question in data.questions:
        if not question.evidence:
            continue
        scope = Scope(TENANT, question.user)
        search = await recaller.search(scope, question.text)
        first = await database.fetch(scope, *search.call)
        search, scored = await recaller.reread(scope, search, first)
        near, signals = await recaller.candidates(scope, search, scored, FITTED_POOL)
        rows, table = await recaller.candidates(scope, search, scored)
        cases.append(
            Case(
                form,
                question,
                search.question,
                signals,
                np.array([bool(question.evidence & _cited(row)) for row in near], dtype=bool),
                table,
                tuple(_cited(row) for row in rows),
                tuple(quotes.get((scope.user, row["memory_id"]), none) for row in rows),
                tuple(row["tokens"] for row in rows),
                tuple(row["session_id"] for row in rows),
            )
        )
    await embedder.aclose()
    return cases


def _cited(row: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(row["interaction_ids"] or ())


def fitted(cases: Sequence[Case], l2: float = L2) -> dict[str, float]:
    """The weights that rank evidence first in `cases`."""
    usable = [c for c in cases if c.relevant.any() and c.question.category != "adversarial"]
    per_set = Counter(c.form for c in usable)
    mass = np.array([MASS.get(c.question.category, 1.0) / per_set[c.form] for c in usable])
    sizes = np.array([len(c.relevant) for c in usable])
    starts = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    case_of = np.repeat(np.arange(len(usable)), sizes)
    table = np.concatenate([c.fitted for c in usable])
    spread = table.std(axis=0) + 1e-6
    scaled = table / spread
    positive = np.concatenate([c.relevant for c in usable])
    share = mass / mass.sum() / np.add.reduceat(positive.astype(float), starts)

    def loss(weights: Floats) -> tuple[float, Floats]:
        scores = scaled @ weights
        power = np.exp(scores - np.maximum.reduceat(scores, starts)[case_of])
        against = np.add.reduceat(np.where(positive, 0.0, power), starts)[case_of]
        chance = power / (power + against)
        pull = np.add.reduceat(np.where(positive, 1.0 / (power + against), 0.0), starts)
        slope = np.where(positive, 1.0 - chance, -power * pull[case_of]) * share[case_of]
        cost = -(share[case_of] * np.where(positive, np.log(chance + 1e-30), 0.0)).sum()
        return float(cost + 0.5 * l2 * weights @ weights), -(slope @ scaled) + l2 * weights

    solved = minimize(loss, np.zeros(len(SIGNALS)), jac=True, method="L-BFGS-B")
    return dict(zip(SIGNALS, (solved.x / spread).tolist(), strict=True))


def answered(case: Case, weights: Mapping[str, float]) -> Ranked:
    """What recall would return under `weights`."""
    scores = totals(case.read, case.table, case.sessions, weights)
    kept, _ = ranked(scores, case.cited, case.table)
    return Ranked(
        case.question.evidence,
        tuple(case.cited[n] for n in kept),
        tuple(case.tokens[n] for n in kept),
        quoted=tuple(case.quoted[n] for n in kept),
    )


def cross_validated(cases: Sequence[Case], l2: float = L2) -> Iterator[tuple[Case, Ranked]]:
    """Every question answered under weights fitted without its conversation."""
    for user in sorted({c.question.user for c in cases}):
        weights = fitted([c for c in cases if c.question.user != user], l2)
        for case in cases:
            if case.question.user == user:
                yield case, answered(case, weights)


def report(cases: Sequence[Case]) -> dict[str, Any]:
    """Cross-validated blocks of each set, as `benchmarks.recall` prints them."""
    pairs = list(cross_validated(cases))
    result: dict[str, Any] = {}
    for form in sorted({case.form for case in cases}):
        mine = [(c.question.category, r) for c, r in pairs if c.form == form]
        name = "locomo" if form == ORACLE else form
        result[form] = blocks(name, [c for c, _ in mine], [r for _, r in mine], (5, 10, 20))
    return result


def main() -> None:
    """Parses the command line, prints the report, and writes the weights if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--locomo", type=Path, required=True)
    parser.add_argument("--beam", type=Path, required=True)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    locomo = load("locomo", given.locomo)
    cases = anyio.run(collect, locomo, "locomo")
    cases += anyio.run(collect, load("beam", given.beam), "beam")
    with as_the_model(locomo) as changes:
        cases += anyio.run(partial(collect, locomo, ORACLE, **changes))
    print(json.dumps(report(cases), indent=2))
    if given.write:
        weights = {name: round(weight, 4) for name, weight in fitted(cases).items()}
        written = {"fitted_by": "benchmarks/fit_recall.py", "l2": L2, "weights": weights}
        WEIGHTS.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
