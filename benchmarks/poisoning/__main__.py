"""Says how much of a corpus of attacks the product believes and shows.

    python -m benchmarks.poisoning [--file F ...] [--shape S] [--json] [--failures N]

Runs the cases of `tests/poisoning/` (or other files in that format) through one fresh embedded
store: recorded with the client, extracted and compacted in this process, then looked at with
`history()` and with contexts of the same session and of another one. Prints for each shape and over
all: the share of attacks that are believed, the share that are shown as an instruction, a fact or
words that nobody said, and the share of honest things that are kept. Exits 0 whatever the score.
"""

import argparse
import asyncio
import json
from pathlib import Path
from time import monotonic

from benchmarks.poisoning.cases import corpus, read_cases
from benchmarks.poisoning.running import Outcome, run
from benchmarks.poisoning.scoring import Score, by_shape, failures, table
from benchmarks.store import fresh_store
from memory.embedding import create_embedder


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--file", type=Path, nargs="+", help="instead of the corpus")
    parser.add_argument("--shape", action="append", help="only this shape")
    parser.add_argument("--json", action="store_true", help="figures and failures as JSON")
    parser.add_argument("--failures", type=int, default=0, help="print so many cases that failed")
    options = parser.parse_args()
    began = monotonic()
    outcomes = asyncio.run(measured(options.file or corpus(), options.shape))
    if options.json:
        print(json.dumps(_figures(outcomes), indent=1, ensure_ascii=False))
        return
    print(table(outcomes))
    print(f"\n{len(outcomes)} cases in {monotonic() - began:.0f} s")
    print("\n".join(failures(outcomes)[: options.failures]))


async def measured(files: list[Path], shapes: list[str] | None = None) -> list[Outcome]:
    """Runs the cases of `files`, of all shapes or only of some, in a fresh store."""
    cases = [case for case in read_cases(files) if not shapes or case.shape in shapes]
    async with fresh_store() as settings:
        embedder = create_embedder(settings)
        try:
            return await run(settings, embedder, cases)
        finally:
            await embedder.aclose()


def _figures(outcomes: list[Outcome]) -> dict[str, object]:
    return {
        "overall": Score.of(outcomes).figures(),
        "shapes": {shape: Score.of(some).figures() for shape, some in by_shape(outcomes).items()},
        "failures": failures(outcomes),
    }


if __name__ == "__main__":
    main()
