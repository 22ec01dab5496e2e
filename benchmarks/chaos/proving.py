"""Proves that the checks can fail: each broken variant is seen every time, the product never.

    python -m benchmarks.chaos.proving [NAME ...] [--runs 5] [--seed 1]

Each variant of `benchmarks.chaos.breaks` runs with the fault that shows it, once for each seed, and
the product itself once with the same fault. Prints a table; exits 1 where a variant passes, where
another check than the one meant for it sees it alone, or where the product fails.
"""

import argparse
import asyncio
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from benchmarks.chaos.breaks import BREAKS
from benchmarks.chaos.running import Options, Report, run


def directed(name: str, seed: int = 1) -> Options:
    """A short run in which nothing but the fault that shows a variant happens."""
    broken = BREAKS[name]
    extracting = broken.bus == "postgres"
    return Options(
        kills=1, messages=600, seed=seed, users=8, pace=0.5, lease=2.0, standstill=15.0,
        broken=name, only=(broken.fault,), resent=broken.resent, bus=broken.bus,
        producers=1, ingest=2, extract=2 if extracting else 1, publish=0, directed=True,
    )  # fmt: skip


@dataclass(frozen=True)
class Row:
    """What the runs of one variant came to. `missed`: what was seen instead, by seed."""

    name: str
    runs: int
    seen: int
    missed: Sequence[str]
    product: str

    @property
    def holds(self) -> bool:
        """Whether the variant was seen every time, and the product never."""
        return self.seen == self.runs and self.product == "holds"

    def __str__(self) -> str:
        broken = BREAKS[self.name]
        told = f"{self.name:26}{broken.fault:26}{broken.seen_by:38}"
        told += f"{f'{self.seen} of {self.runs}':10}{self.product}"
        return "\n".join([told, *(f"    {line}" for line in self.missed)])


def proved(name: str, seeds: Sequence[int]) -> Row:
    """Runs a variant with every seed, and the product with the first."""
    reports = [_ran(directed(name, seed)) for seed in seeds]
    seen = [BREAKS[name].seen_by in report.verdict.failures for report in reports]
    missed = [
        f"seed {report.options.seed}: {dict(report.verdict.failures) or 'every check holds'}"
        for report, saw in zip(reports, seen, strict=True)
        if not saw
    ]
    control = _ran(replace(directed(name, seeds[0]), broken=None)).verdict
    product = "holds" if control else f"fails: {dict(control.failures)}"
    return Row(name, len(seeds), sum(seen), missed, product)


def _ran(options: Options) -> Report:
    print(f"{options.broken or 'the product'}, seed {options.seed}", file=sys.stderr)
    return asyncio.run(run(options, told=lambda line: print(line, file=sys.stderr)))


def table(names: Sequence[str], seeds: Sequence[int]) -> Iterator[Row]:
    """A row for each variant, printed as it is known."""
    print(f"{'variant':26}{'fault':26}{'seen by':38}{'seen':10}the product")
    for name in names:
        row = proved(name, seeds)
        print(row, flush=True)
        yield row


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BREAKS))
    parser.add_argument("--runs", type=int, default=5, help="of each variant, a seed each")
    parser.add_argument("--seed", type=int, default=1, help="of the first")
    args = parser.parse_args()
    if unknown := set(args.names) - set(BREAKS):
        parser.error(f"no such variant: {sorted(unknown)!r}")
    seeds = range(args.seed, args.seed + args.runs)
    rows = list(table(args.names or list(BREAKS), seeds))
    sys.exit(0 if all(row.holds for row in rows) else 1)


if __name__ == "__main__":
    main()
