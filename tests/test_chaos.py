"""The chaos run, short and seeded: all is killed and all holds, and what is broken is seen.

`python -m benchmarks.chaos` is the long one; it also takes the broken variants that are not here.
"""

from dataclasses import replace

from benchmarks.chaos.breaks import BREAKS
from benchmarks.chaos.faults import KINDS
from benchmarks.chaos.running import Options, run

BROKEN = Options(
    broken="position-before-rows", kills=24, only=("cut_after_commit",), messages=2000, users=8,
    pace=0.2, lease=2.0, standstill=15.0, producers=2, ingest=2, extract=2, publish=0,
)  # fmt: skip


async def test_whatever_is_killed_nothing_is_lost_doubled_or_out_of_order(kafka: str) -> None:
    report = await run(
        Options(kills=12, messages=2000, seed=1, users=60, pace=0.5, standstill=150), told=print
    )
    assert report.verdict.failures == {}
    killing = {kind.__name__ for kind in KINDS if kind.__name__.startswith("kill")}
    assert killing <= set(report.faults)
    assert report.interactions == 2000


async def test_a_position_that_commits_before_its_rows_is_seen(kafka: str) -> None:
    report = await run(replace(BROKEN, servers=kafka), told=print)
    assert BREAKS["position-before-rows"].seen_by in report.verdict.failures
