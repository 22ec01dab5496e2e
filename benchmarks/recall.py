"""How much of a question's annotated evidence recall finds: record, extract, recall.

    python -m benchmarks.recall --format locomo --data PATH [--k 5 10 20] [--json]

imports the data set into a fresh database through the client, runs the extractors, and asks every
question through `recall()`. An item counts for the interactions it cites.

The JSON holds `format`, `interactions`, `memories`, `seconds` and one block each for the overall
result and every category: `locomo` (categories 1 to 4) or `beam_facts` (the five fact
categories), and `categories` → name. A block holds `questions`, `recall@K`, `recall@K_interval`
(95 % bootstrap), `all_evidence@K`, `mrr`, `ndcg@10`, `tokens@10` (mean), `tokens@10_max`,
`recall@2000_tokens`, `recall@4000_tokens`, `latency_p50_ms` and `latency_p95_ms`. LoCoMo's
adversarial questions stand under `categories` alone.

With `--extractor language_model --answers recorded` LoCoMo's annotated observations answer in the
place of a language model, over HTTP (`benchmarks.recorded`): an oracle run, and the JSON says
`oracle`.

`recall@K_quoted` is the stricter count: an item counts only for the interactions that it quotes at
least half of. The two differ where an episode holds a message and the opening of a long reply.
"""

import argparse
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import anyio
import numpy as np
from anyio import to_thread

from benchmarks.datasets import BEAM_FACTS, TENANT, DataSet, Question, load
from benchmarks.metrics import Ranked, interval
from benchmarks.recorded import as_the_model
from benchmarks.store import fill, fresh_store
from memory import embedded
from memory.client import AsyncMemoryClient
from memory.database import connect
from memory.models import Recall, Scope
from memory.settings import Settings

Quoted = dict[tuple[str, int], frozenset[str]]

QUOTED = """
SELECT e.user_id, e.memory_id, array_agg(DISTINCT i.interaction_id) AS interaction_ids
FROM memory.evidence e
JOIN memory.interactions i USING (tenant_id, user_id, interaction_id)
WHERE 2 * length(e.quote) >= length(i.content)
GROUP BY e.user_id, e.memory_id
"""

DEPTH = 100
"""Items asked for: enough to fill 4,000 tokens on either set."""


async def measured(data: DataSet, ks: Sequence[int], **changes: object) -> dict[str, Any]:
    """The report described above, under settings with `changes`."""
    async with fresh_store(**changes) as settings:
        extracted = await fill(settings, data.interactions())
        asked = [q for q in data.questions if q.evidence]
        ranked = await answers(settings, asked, await quoted(settings))
    categories = [q.category for q in asked]
    return {
        "format": data.name,
        "interactions": extracted.interactions,
        "memories": extracted.memories,
        "seconds": round(extracted.seconds, 2),
        "without_evidence": len(data.questions) - len(asked),
        "malformed_evidence": [m for q in data.questions for m in q.malformed],
        **blocks(data.name, categories, ranked, ks),
    }


async def quoted(settings: Settings) -> Quoted:
    """For every user's memory the interactions that it quotes at least half of."""
    url = await to_thread.run_sync(embedded.start, settings.data_dir)
    found: Quoted = {}
    async with await connect(url, settings.connect_timeout) as connection:
        cursor = await connection.execute(QUOTED)
        for row in await cursor.fetchall():
            key = (row["user_id"], row["memory_id"])
            found[key] = frozenset(row["interaction_ids"])
    return found


async def answers(settings: Settings, asked: Sequence[Question], quotes: Quoted) -> list[Ranked]:
    """Every question asked once, one after the other, after a warm-up that is not counted."""
    async with AsyncMemoryClient(settings) as client:
        await client.recall(Scope(TENANT, asked[0].user), "warm up", k=DEPTH)
        ranked = []
        for question in asked:
            began = perf_counter()
            found = await client.recall(Scope(TENANT, question.user), question.text, k=DEPTH)
            ranked.append(ranked_answer(question, found, quotes, perf_counter() - began))
        return ranked


def ranked_answer(
    question: Question, found: Recall, quotes: Quoted, seconds: float = 0.0
) -> Ranked:
    """What recall found, for the metrics."""
    none: frozenset[str] = frozenset()
    return Ranked(
        question.evidence,
        tuple(frozenset(item.citations) for item in found.items),
        tuple(item.tokens for item in found.items),
        seconds,
        tuple(quotes.get((question.user, item.memory.id), none) for item in found.items),
    )


def blocks(
    form: str, categories: Sequence[str], ranked: Sequence[Ranked], ks: Sequence[int]
) -> dict[str, Any]:
    """The overall block and one for each category."""
    if form == "locomo":
        name, counted = "locomo", set(categories) - {"adversarial"}
    else:
        name, counted = "beam_facts", set(BEAM_FACTS)
    overall = [r for c, r in zip(categories, ranked, strict=True) if c in counted]
    return {
        name: block(overall, ks),
        "categories": {
            category: block(
                [r for c, r in zip(categories, ranked, strict=True) if c == category], ks
            )
            for category in sorted(set(categories))
        },
    }


def block(ranked: Sequence[Ranked], ks: Sequence[int]) -> dict[str, Any]:
    """The metrics of one set of questions."""
    result: dict[str, Any] = {"questions": len(ranked)}
    for k in ks:
        values = [r.recall(k) for r in ranked]
        result[f"recall@{k}"] = float(np.mean(values))
        result[f"recall@{k}_interval"] = interval(values)
        result[f"recall@{k}_quoted"] = float(np.mean([r.strict().recall(k) for r in ranked]))
        result[f"all_evidence@{k}"] = float(np.mean([r.complete(k) for r in ranked]))
    tokens = [sum(r.tokens[:10]) for r in ranked]
    latency = [r.seconds * 1e3 for r in ranked]
    result |= {
        "mrr": float(np.mean([r.reciprocal_rank for r in ranked])),
        "ndcg@10": float(np.mean([r.ndcg(10) for r in ranked])),
        "tokens@10": float(np.mean(tokens)),
        "tokens@10_max": max(tokens),
        "latency_p50_ms": float(np.percentile(latency, 50)),
        "latency_p95_ms": float(np.percentile(latency, 95)),
    }
    for budget in (2000, 4000):
        values = [r.recall(r.within(budget)) for r in ranked]
        result[f"recall@{budget}_tokens"] = float(np.mean(values))
    return result


def shown(report: dict[str, Any], ks: Sequence[int]) -> str:
    """The report as a table."""
    columns = [*(f"recall@{k}" for k in ks), "mrr", "ndcg@10", "recall@2000_tokens", "tokens@10"]
    head = ["locomo" if "locomo" in report else "beam_facts"]
    rows = [(name, report[name]) for name in head] + list(report["categories"].items())
    lines = [f"{'':26}{'n':>6}" + "".join(f"{c:>20}" for c in columns)]
    lines += [
        f"{name:26}{b['questions']:6}" + "".join(f"{b[c]:20.3f}" for c in columns)
        for name, b in rows
    ]
    lines.append(f"{report['interactions']} interactions, memories {report['memories']}")
    return "\n".join(lines)


def reported(data: DataSet, ks: Sequence[int], *, oracle: bool) -> dict[str, Any]:
    """The report, with the offline extractors or with the annotators as the language model."""
    if not oracle:
        return anyio.run(measured, data, ks)
    with as_the_model(data) as changes:
        return {"oracle": True, **anyio.run(partial(measured, data, ks, **changes))}


def main() -> None:
    """Parses the command line and prints the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--format", choices=("locomo", "beam"), required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--k", type=int, nargs="+", default=[5, 10, 20])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--extractor", choices=("language_model",))
    parser.add_argument("--answers", choices=("recorded",))
    given = parser.parse_args()
    if bool(given.extractor) != bool(given.answers):
        parser.error("--extractor language_model and --answers recorded go together")
    report = reported(load(given.format, given.data), given.k, oracle=bool(given.answers))
    print(json.dumps(report, indent=2) if given.json else shown(report, given.k))


if __name__ == "__main__":
    main()
