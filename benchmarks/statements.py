"""What the `statements` extractor remembers: of what annotators noted, and a sample to judge.

    python -m benchmarks.statements --data locomo10.json [--json]
    python -m benchmarks.statements --format beam --data chats/100K --sample 100 --seed 1
    python -m benchmarks.statements --judged docs/statements-sample.md

LoCoMo's annotators wrote down an `observation` for what a turn tells of its speaker, and which
turns it rests on. One is *covered* where a memory cites one of its turns, and *said* where that
memory also has at least half of its content words, compared by their first five letters: a loose
rule and a strict one. The same two rules from the other side give the shares of the memories that
stand on a noted turn, and that say what was noted there. Speakers' names do not count as words.
Intervals are over single observations; those of one conversation are alike, so they are narrower
than for new conversations.

A sample is drawn from all memories of a fresh store, in an order that depends on the seed alone.
"""

import argparse
import json
import random
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import anyio
import numpy as np
from anyio import to_thread

from benchmarks.datasets import DataSet, load
from benchmarks.metrics import interval, proportion
from benchmarks.store import fill, fresh_store
from extractors.statements import create
from memory import embedded
from memory.database import connect
from memory.language.text import content_words

STEM = 5
"""Letters by which two words count as one: a stemmer of no language in particular."""

HALF = 0.5

REMEMBERED = """
SELECT m.kind, m.subject, m.attribute, m.value, m.text, m.valid_from,
    array_agg(e.interaction_id ORDER BY e.interaction_id, e.start_offset) AS interaction_ids,
    array_agg(e.quote ORDER BY e.interaction_id, e.start_offset) AS quotes
FROM memory.memories m JOIN memory.evidence e USING (tenant_id, user_id, memory_id)
GROUP BY m.user_id, m.memory_id, m.kind, m.subject, m.attribute, m.value, m.text, m.valid_from
"""


@dataclass(frozen=True, slots=True)
class Noted:
    """A sentence about a speaker, and the interactions that it rests on."""

    speaker: str
    text: str
    interaction_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class Remembered:
    """A memory, with the interactions that it cites and what it quotes of each."""

    interaction_ids: tuple[str, ...]
    person: str | None
    kind: str
    attribute: str | None
    value: str | None
    text: str
    valid_from: str = ""
    quotes: tuple[str, ...] = ()


# What was noted -----------------------------------------------------------------------------------


def observations(data: DataSet) -> list[Noted]:
    """Everything the annotators noted."""
    found = []
    for path in data.files:
        for sample in json.loads(path.read_text(encoding="utf-8")):
            sessions = sample["observation"].values()
            noted = [pair for session in sessions for pair in session.items()]
            names = {who for who, _ in noted}
            for who, facts in noted:
                found += [_noted(sample["sample_id"], who, names, *fact) for fact in facts]
    return found


def _noted(
    conversation: str, who: str, names: Collection[str], text: str, dialogs: str | list[str]
) -> Noted:
    turns = dialogs if isinstance(dialogs, list) else [dialogs]
    cited = frozenset(f"{conversation}:{turn}" for turn in turns)
    return Noted(f"{conversation} {who}", unnamed(text, names), cited)


def unnamed(text: str, names: Collection[str]) -> str:
    """`text` without the names of those who speak, which are in nearly every sentence."""
    every = "|".join(sorted(map(re.escape, names), key=len, reverse=True))
    return re.sub(rf"\b(?:{every})(?:['\u2019]s)?\b", " ", text) if every else text


def says(text: str, observation: str) -> bool:
    """Whether a text has at least half of an observation's content words."""
    wanted, there = _stems(observation), _stems(text)
    return bool(wanted) and len(wanted & there) >= HALF * len(wanted)


def _stems(text: str) -> set[str]:
    return {word[:STEM] for word in content_words(text)}


# The report ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Matched:
    """What was noted and what is remembered, each with whether the rules find it in the other."""

    observed: Sequence[Noted]
    covered: Sequence[bool]
    said: Sequence[bool]
    on_noted_turns: Sequence[bool]
    saying_one: Sequence[bool]


def matched(observed: Sequence[Noted], remembered: Sequence[Remembered]) -> Matched:
    """Both rules applied from both sides."""
    citing: dict[str, list[int]] = {}
    for n, memory in enumerate(remembered):
        for source in set(memory.interaction_ids):
            citing.setdefault(source, []).append(n)
    covered, said, standing, saying = [], [], set[int](), set[int]()
    for each in observed:
        beside = {n for source in each.interaction_ids for n in citing.get(source, ())}
        alike = {n for n in beside if says(remembered[n].text, each.text)}
        covered.append(bool(beside))
        said.append(bool(alike))
        standing |= beside
        saying |= alike
    every = range(len(remembered))
    return Matched(
        observed, covered, said, [n in standing for n in every], [n in saying for n in every]
    )


def report(found: Matched) -> dict[str, Any]:
    """The shares described above, each with its 95 % bootstrap interval, and those by speaker."""
    return {
        "observations": len(found.observed),
        "memories": len(found.on_noted_turns),
        "covered": _share(found.covered),
        "said": _share(found.said),
        "memories_of_noted_turns": _share(found.on_noted_turns),
        "memories_saying_what_was_noted": _share(found.saying_one),
        "speakers": dict(_by_speaker(found)),
    }


def _share(values: Iterable[bool]) -> dict[str, Any]:
    each = [float(value) for value in values]
    return {"share": float(np.mean(each)), "interval": interval(each)}


def _by_speaker(found: Matched) -> Iterator[tuple[str, dict[str, Any]]]:
    for speaker in sorted({each.speaker for each in found.observed}):
        of_them = [n for n, each in enumerate(found.observed) if each.speaker == speaker]
        yield (
            speaker,
            {
                "observations": len(of_them),
                "covered": float(np.mean([found.covered[n] for n in of_them])),
                "said": float(np.mean([found.said[n] for n in of_them])),
            },
        )


async def memories(data: DataSet) -> list[Remembered]:
    """What a fresh store holds in which `statements` alone was extracted, in a fixed order."""
    async with fresh_store() as settings:
        await fill(settings, data.interactions(), [create(settings)])
        url = await to_thread.run_sync(embedded.start, settings.data_dir)
        async with await connect(url, settings.connect_timeout) as connection:
            rows = await (await connection.execute(REMEMBERED)).fetchall()
    found = [
        Remembered(
            tuple(row["interaction_ids"]),
            row["subject"],
            row["kind"],
            row["attribute"],
            row["value"],
            row["text"],
            row["valid_from"].date().isoformat(),
            tuple(row["quotes"]),
        )
        for row in rows
    ]
    return sorted(found, key=lambda m: (m.interaction_ids, str(m.attribute), str(m.value), m.text))


# The sample, and what a reader made of it ---------------------------------------------------------


def sampled(remembered: Sequence[Remembered], size: int, seed: int) -> list[Remembered]:
    """`size` of the memories, chosen by the seed alone; all of them where there are fewer."""
    return random.Random(seed).sample(list(remembered), min(size, len(remembered)))


_HEADING = re.compile(r"^#+\s+(?P<name>.+)$")
_VERDICT = re.compile(r"^\|\s*\d+\s*\|.*\|\s*(?P<verdict>right|wrong)\s*\|[^|]*\|\s*$")


def verdicts(page: str) -> dict[str, list[bool]]:
    """By heading, whether each memory of the tables below it was judged right.

    A row is `| number | … | right or wrong | reason |`.
    """
    found: dict[str, list[bool]] = {}
    heading = ""
    for line in page.splitlines():
        if named := _HEADING.match(line):
            heading = named["name"]
        elif judged := _VERDICT.match(line):
            found.setdefault(heading, []).append(judged["verdict"] == "right")
    return found


def precision(judged: Sequence[bool]) -> dict[str, Any]:
    """How many were right, with the 95 % interval of the share."""
    right, n = sum(judged), len(judged)
    return {"n": n, "right": right, "share": right / n, "interval": proportion(right, n)}


def main() -> None:
    """Parses the command line and prints the report, the sample or the precision."""
    parser = argparse.ArgumentParser(description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, help="LoCoMo or BEAM as published")
    source.add_argument("--judged", type=Path, help="a page of verdicts to count")
    parser.add_argument("--format", choices=("locomo", "beam"), default="locomo")
    parser.add_argument("--sample", type=int, help="print this many memories to judge")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if given.judged:
        page = given.judged.read_text(encoding="utf-8")
        _print({name: precision(each) for name, each in verdicts(page).items()}, as_json=given.json)
        return
    if given.format == "beam" and not given.sample:
        parser.error("BEAM has no observations: it can only be sampled")
    data = load(given.format, given.data)
    remembered = anyio.run(memories, data)
    if given.sample:
        for n, memory in enumerate(sampled(remembered, given.sample, given.seed), 1):
            print(json.dumps({"n": n, **asdict(memory)}, ensure_ascii=False))
        return
    _print(report(matched(observations(data), remembered)), as_json=given.json)


def _print(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(found))
        return
    speakers = found.pop("speakers", {})
    for name, value in found.items():
        print(f"{name:32} {_shown(value)}")
    for name, value in speakers.items():
        print(
            f"{name:32} covered {value['covered']:.3f}  said {value['said']:.3f}"
            f"  of {value['observations']}"
        )


def _shown(value: Any) -> str:
    if isinstance(value, int):
        return str(value)
    low, high = value["interval"]
    counted = f"  {value['right']} of {value['n']}" if "n" in value else ""
    return f"{value['share']:.3f} ({low:.3f} to {high:.3f}){counted}"


if __name__ == "__main__":
    main()
