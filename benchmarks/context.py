"""How much of the evidence is inside a context, against returning the top k: record to context.

    python -m benchmarks.context --format locomo --data PATH [--budgets 500 1000 2000 4000]
        [--plot FILE.png] [--json] [--reader MODEL [--judge MODEL] [--answer-budget 2000]]

imports the data set into a fresh database through the client, runs the extractors, and asks every
question through `context()` at every budget. `top_k` is what one would do without it: the items of
`recall()` in its order, printed in the same way, up to the first that does not fit.

An interaction is inside if a packed memory cites it or it is among the recent turns. A memory may
cite an interaction of which it quotes a part, or which it states in other words: so the report also
holds `answer_words`, the share of the right answer's content words that stand in the text.

The JSON holds `format`, `budgets`, `interactions`, `memories`, and one block each for the overall
result and every category: `locomo` (categories 1 to 4), or `beam` (all nine abilities) and
`beam_facts`, and `categories` → name. A block holds `questions`, and under `context` and `top_k`
for each budget `complete` (the share of questions with all evidence inside), `complete_interval`
(95 % bootstrap), `recall` (mean share of the evidence), `answer_words`, `tokens` and `tokens_max`.
With a reader, `answers` names it and the judge and holds `f1` and `right` of both ways.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import numpy as np

from benchmarks.answers import Asked, Panel
from benchmarks.datasets import BEAM_FACTS, TENANT, DataSet, Question, load
from benchmarks.metrics import interval
from benchmarks.store import fill, fresh_store
from memory.client import AsyncMemoryClient
from memory.context.assembly import Context
from memory.context.rendering import Entry, line
from memory.language.text import content_words, estimate_tokens
from memory.models import Recall, Scope
from memory.settings import Settings

BUDGETS = (500, 1000, 2000, 4000)
DEPTH = 150
"""Items asked for from recall, as many as packing chooses from."""

CONTEXT, TOP_K = "context", "top_k"
LABELS = {CONTEXT: "context()", TOP_K: "top k, until one does not fit"}


@dataclass(frozen=True, slots=True)
class Inside:
    """What one way of filling one budget gave a question: the text, and whose words are in it."""

    way: str
    budget: int
    question: Question
    cited: frozenset[str]
    text: str

    @property
    def complete(self) -> bool:
        """Whether all the evidence is inside."""
        return self.question.evidence <= self.cited

    @property
    def recall(self) -> float:
        """The share of the evidence that is inside."""
        return len(self.question.evidence & self.cited) / len(self.question.evidence)

    @property
    def tokens(self) -> int:
        """By the estimator the contexts are packed with."""
        return estimate_tokens(self.text)

    @property
    def answer_words(self) -> float:
        """The share of the answer's content words that stand in the text; NaN if it has none."""
        wanted = set(content_words(self.question.answer))
        return len(wanted & set(content_words(self.text))) / len(wanted) if wanted else float("nan")


async def measured(
    data: DataSet,
    budgets: Sequence[int],
    panel: Callable[[Settings], Panel] | None = None,
    answer_budget: int = 2000,
) -> dict[str, Any]:
    """The report described above."""
    async with fresh_store() as settings:
        extracted = await fill(settings, data.interactions())
        asked = [q for q in data.questions if q.evidence]
        inside = await asked_all(
            settings, asked, sorted({*budgets, answer_budget} if panel else budgets)
        )
        answers = await answered(panel(settings), inside, answer_budget) if panel else None
    report = {
        "format": data.name,
        "budgets": list(budgets),
        "interactions": extracted.interactions,
        "memories": extracted.memories,
        **blocks(data.name, inside, budgets),
    }
    return report if answers is None else {**report, "answers": answers}


async def asked_all(
    settings: Settings, asked: Sequence[Question], budgets: Sequence[int]
) -> list[Inside]:
    """Every question at every budget, both ways."""
    inside = []
    async with AsyncMemoryClient(settings) as client:
        for question in asked:
            scope = Scope(TENANT, question.user)
            found = await client.recall(scope, question.text, k=DEPTH)
            for budget in budgets:
                context = await client.context(scope, question.text, budget=budget)
                inside.append(of_context(question, context))
                inside.append(of_recall(question, found, budget))
    return inside


def of_context(question: Question, context: Context) -> Inside:
    """What a context holds."""
    cited = {i for citation in context.citations for i in citation.interaction_ids}
    cited |= {turn.id for turn in context.turns}
    return Inside(CONTEXT, context.budget, question, frozenset(cited), context.text)


def of_recall(question: Question, found: Recall, budget: int) -> Inside:
    """What the items of recall hold, in their order up to the first that does not fit."""
    lines: list[str] = []
    cited: set[str] = set()
    for n, item in enumerate(found.items, 1):
        longer = [*lines, line(Entry.whole(item), n)]
        if estimate_tokens("\n".join(longer)) > budget:
            break
        lines = longer
        cited.update(item.citations)
    return Inside(TOP_K, budget, question, frozenset(cited), "\n".join(lines))


def blocks(form: str, inside: Sequence[Inside], budgets: Sequence[int]) -> dict[str, Any]:
    """The overall blocks and one for each category."""
    categories = sorted({i.question.category for i in inside})
    groups = {form: set(categories) - {"adversarial"}}
    if form == "beam":
        groups["beam_facts"] = set(BEAM_FACTS)
    return {
        **{
            name: block([i for i in inside if i.question.category in wanted], budgets)
            for name, wanted in groups.items()
        },
        "categories": {
            name: block([i for i in inside if i.question.category == name], budgets)
            for name in categories
        },
    }


def block(inside: Sequence[Inside], budgets: Sequence[int]) -> dict[str, Any]:
    """Both ways at every budget, for one set of questions."""
    result: dict[str, Any] = {
        "questions": len([i for i in inside if (i.way, i.budget) == (CONTEXT, budgets[0])])
    }
    for way in LABELS:
        result[way] = {
            str(budget): metrics([i for i in inside if (i.way, i.budget) == (way, budget)])
            for budget in budgets
        }
    return result


def metrics(inside: Sequence[Inside]) -> dict[str, Any]:
    """What is inside, over the questions of one way and one budget."""
    complete = [float(i.complete) for i in inside]
    words = [i.answer_words for i in inside]
    return {
        "complete": float(np.mean(complete)),
        "complete_interval": interval(complete),
        "recall": float(np.mean([i.recall for i in inside])),
        "answer_words": float(np.nanmean(words)) if not np.isnan(words).all() else None,
        "tokens": float(np.mean([i.tokens for i in inside])),
        "tokens_max": max(i.tokens for i in inside),
    }


async def answered(panel: Panel, inside: Sequence[Inside], budget: int) -> dict[str, Any]:
    """What a reader makes of both ways at one budget."""
    result: dict[str, Any] = {"reader": panel.reader, "judge": panel.judge, "budget": budget}
    for way in LABELS:
        of_way = [i for i in inside if (i.way, i.budget) == (way, budget)]
        asked = [Asked(i.question.text, i.question.answer, i.text) for i in of_way]
        answers = await panel.answer_all(asked)
        right = [a.right for a in answers if a.right is not None]
        result[way] = {
            "questions": len(answers),
            "f1": float(np.mean([a.f1 for a in answers])),
            "right": float(np.mean(right)) if right else None,
        }
    await panel.aclose()
    return result


def plotted(report: dict[str, Any], path: Path) -> None:
    """Draws both curves of each overall block: full evidence inside, and mean evidence recall."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    names = [name for name in ("locomo", "beam", "beam_facts") if name in report]
    figure, axes = plt.subplots(1, len(names), figsize=(5.6 * len(names), 4.2), squeeze=False)
    for axis, name in zip(axes[0], names, strict=True):
        for way, colour in ((CONTEXT, "#0b6e8f"), (TOP_K, "#b5651d")):
            values = report[name][way]
            for metric, style in (("complete", "-"), ("recall", ":")):
                heights = [100 * values[str(b)][metric] for b in report["budgets"]]
                axis.plot(report["budgets"], heights, style, marker="o", color=colour)
        axis.set_xscale("log", base=2)
        axis.set_xticks(report["budgets"], [f"{b:,}" for b in report["budgets"]])
        axis.set_title(f"{name} ({report[name]['questions']} questions)")
        axis.set_xlabel("budget, tokens")
        axis.set_ylabel("%")
        axis.grid(alpha=0.3)
    lines = axes[0][0].get_lines()
    words = [f"{label}: {what}" for label in LABELS.values() for what in ("all evidence", "mean")]
    figure.legend(lines, words, loc="lower center", ncols=2, frameon=False)
    figure.tight_layout(rect=(0, 0.13, 1, 1))
    figure.savefig(path, dpi=150)
    plt.close(figure)


def shown(report: dict[str, Any]) -> str:
    """The report as a table: full evidence inside, context() and top k at each budget."""
    budgets = [str(b) for b in report["budgets"]]
    head = "".join(f"{b:>16}" for b in budgets)
    overall = [name for name in ("locomo", "beam", "beam_facts") if name in report]
    rows = [(name, report[name]) for name in overall] + list(report["categories"].items())
    lines = []
    for metric in ("complete", "recall", "answer_words"):
        lines.append(f"{metric + ' (context() / top k)':36}{'n':>5}{head}")
        for name, of_name in rows:
            pairs = [(of_name[CONTEXT][b][metric], of_name[TOP_K][b][metric]) for b in budgets]
            cells = ["" if None in pair else f"{pair[0]:.3f} / {pair[1]:.3f}" for pair in pairs]
            lines.append(
                f"{name:36}{of_name['questions']:5}" + "".join(f"{cell:>16}" for cell in cells)
            )
        lines.append("")
    if "answers" in report:
        lines.append(json.dumps(report["answers"]))
    return "\n".join(lines)


def main() -> None:
    """Parses the command line and prints the report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--format", choices=("locomo", "beam"), required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--budgets", type=int, nargs="+", default=list(BUDGETS))
    parser.add_argument("--plot", type=Path, help="write the curves to this PNG")
    parser.add_argument("--reader", help="model that answers from the contexts")
    parser.add_argument("--judge", help="model that compares answers with the right ones")
    parser.add_argument("--answer-budget", type=int, default=2000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if given.judge and not given.reader:
        parser.error("--judge needs a --reader")

    def panel(settings: Settings) -> Panel:
        return Panel(settings, given.reader, given.judge)

    report = anyio.run(
        measured,
        load(given.format, given.data),
        given.budgets,
        panel if given.reader else None,
        given.answer_budget,
    )
    if given.plot:
        plotted(report, given.plot)
    print(json.dumps(report, indent=2) if given.json else shown(report))


if __name__ == "__main__":
    main()
