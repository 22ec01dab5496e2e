"""How much of what annotators noted of people the `statements` extractor remembers.

    python -m benchmarks.statements --data locomo10.json [--json]

LoCoMo's annotators wrote down an `observation` for what a turn tells of its speaker, and which
turns it rests on. One is *covered* where a memory cites one of its turns, and *said* where that
memory also has at least half of its content words, compared by their first five letters: a loose
rule and a strict one. The speaker's name does not count as a word. Intervals are over single
observations; those of one conversation are alike, so they are narrower than for new conversations.
"""

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import numpy as np
from anyio import to_thread

from benchmarks.datasets import DataSet, load
from benchmarks.metrics import interval
from benchmarks.store import fill, fresh_store
from extractors.statements import create
from memory import embedded
from memory.database import connect
from memory.text import content_words

STEM = 5
"""Letters by which two words count as one: a stemmer of no language in particular."""

HALF = 0.5

REMEMBERED = """
SELECT m.user_id, m.memory_id, m.text, array_agg(DISTINCT e.interaction_id) AS interaction_ids
FROM memory.memories m JOIN memory.evidence e USING (tenant_id, user_id, memory_id)
GROUP BY m.user_id, m.memory_id, m.text
"""


@dataclass(frozen=True, slots=True)
class Noted:
    """A sentence about a speaker, and the interactions that it rests on."""

    text: str
    interaction_ids: frozenset[str]


def observations(data: DataSet) -> list[Noted]:
    """Everything the annotators noted."""
    found = []
    for path in data.files:
        for sample in json.loads(path.read_text(encoding="utf-8")):
            sessions = sample["observation"].values()
            for who, facts in (pair for session in sessions for pair in session.items()):
                found += [_noted(sample["sample_id"], who, *fact) for fact in facts]
    return found


def _noted(conversation: str, who: str, text: str, dialogs: str | list[str]) -> Noted:
    turns = dialogs if isinstance(dialogs, list) else [dialogs]
    return Noted(text.replace(who, " "), frozenset(f"{conversation}:{turn}" for turn in turns))


def says(text: str, observation: str) -> bool:
    """Whether a text has at least half of an observation's content words."""
    wanted, there = _stems(observation), _stems(text)
    return bool(wanted) and len(wanted & there) >= HALF * len(wanted)


def _stems(text: str) -> set[str]:
    return {word[:STEM] for word in content_words(text)}


def compared(observed: Sequence[Noted], remembered: Sequence[Noted]) -> dict[str, Any]:
    """The shares described above, each with its 95 % bootstrap interval."""
    citing: dict[str, list[Noted]] = {}
    for memory in remembered:
        for source in memory.interaction_ids:
            citing.setdefault(source, []).append(memory)
    covered, said = [], []
    for each in observed:
        beside = [m for source in each.interaction_ids for m in citing.get(source, ())]
        covered.append(float(bool(beside)))
        said.append(float(any(says(m.text, each.text) for m in beside)))
    noted = {source for each in observed for source in each.interaction_ids}
    grounded = [float(not noted.isdisjoint(m.interaction_ids)) for m in remembered]
    return {
        "observations": len(observed),
        "memories": len(remembered),
        "covered": _share(covered),
        "said": _share(said),
        "memories_of_noted_turns": _share(grounded),
    }


def _share(values: Iterable[float]) -> dict[str, Any]:
    each = list(values)
    return {"share": float(np.mean(each)), "interval": interval(each)}


async def measured(data: DataSet) -> dict[str, Any]:
    """The report over a fresh store in which `statements` alone was extracted."""
    async with fresh_store() as settings:
        await fill(settings, data.interactions(), [create(settings)])
        url = await to_thread.run_sync(embedded.start, settings.data_dir)
        async with await connect(url, settings.connect_timeout) as connection:
            rows = await (await connection.execute(REMEMBERED)).fetchall()
    remembered = [Noted(row["text"], frozenset(row["interaction_ids"])) for row in rows]
    return compared(observations(data), remembered)


def main() -> None:
    """Parses the command line and prints the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="LoCoMo as published")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    report = anyio.run(measured, load("locomo", given.data))
    if given.json:
        print(json.dumps(report))
        return
    print(f"{report['observations']} observations, {report['memories']} memories")
    for name in ("covered", "said", "memories_of_noted_turns"):
        low, high = report[name]["interval"]
        print(f"{name:24} {report[name]['share']:.3f} ({low:.3f} to {high:.3f})")


if __name__ == "__main__":
    main()
