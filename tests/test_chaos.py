"""The chaos run, short and seeded: all is killed and all holds, and what is broken is seen.

`python -m benchmarks.chaos` is the long one; it also takes the broken variants that are not here.
"""

from dataclasses import replace

import pytest

from benchmarks.chaos.breaks import BREAKS
from benchmarks.chaos.faults import KINDS
from benchmarks.chaos.running import Options, run

FEW = Options(
    messages=1000, users=8, pace=0.4, lease=2.0, standstill=15.0,
    producers=2, ingest=2, extract=2, publish=0,
)  # fmt: skip
VARIANTS = [
    replace(FEW, broken="position-before-rows", kills=4, only=("cut_after_commit",)),
    replace(FEW, broken="broker-offsets", kills=4, only=("cut_before_commit",)),
    replace(
        FEW, broken="no-lease-token", kills=6, only=("pause_within_extraction",), bus="postgres"
    ),
]


async def test_whatever_is_killed_nothing_is_lost_doubled_or_out_of_order(kafka: str) -> None:
    report = await run(Options(kills=12, messages=2000, seed=1, users=60, pace=0.5), told=print)
    assert report.verdict.failures == {}
    killing = {kind.__name__ for kind in KINDS if kind.__name__.startswith("kill")}
    assert killing <= set(report.faults)
    assert report.interactions == 2000


@pytest.mark.parametrize("options", VARIANTS, ids=lambda options: options.broken)
async def test_a_broken_variant_is_seen(options: Options, kafka: str) -> None:
    broken = options.broken or ""
    if options.bus == "kafka":
        options = replace(options, servers=kafka)
    report = await run(options, told=print)
    assert BREAKS[broken].seen_by in report.verdict.failures
