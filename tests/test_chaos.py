"""The chaos run, short and seeded: all is killed and all holds, and what is broken is seen.

`python -m benchmarks.chaos` is the long one. Of the broken variants three are here, the others are
`python -m benchmarks.chaos.proving`'s.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.chaos.breaks import BREAKS
from benchmarks.chaos.faults import KINDS
from benchmarks.chaos.proving import directed
from benchmarks.chaos.running import Options, run

pytestmark = [pytest.mark.slow, pytest.mark.postgres, pytest.mark.timeout(900)]


async def test_whatever_is_killed_nothing_is_lost_doubled_or_out_of_order(kafka: str) -> None:
    report = await run(
        Options(kills=12, messages=2000, seed=1, users=60, pace=0.5, standstill=150),
        told=print,
        within=Path(tempfile.gettempdir()),
    )
    assert report.verdict.failures == {}
    # What is killed within a batch has to have one in its hands at that time.
    names = {kind.__name__ for kind in KINDS}
    killing = {n for n in names if n.startswith("kill_") and not n.startswith("kill_within_")}
    assert killing <= set(report.faults)
    assert report.interactions == 2000


@pytest.mark.parametrize("name", ["no-lease-token", "position-before-rows", "broker-offsets"])
async def test_a_product_that_is_broken_is_seen(name: str, kafka: str) -> None:
    broken = replace(directed(name), servers=kafka)
    report = await run(broken, told=print, within=Path(tempfile.gettempdir()))
    assert BREAKS[name].seen_by in report.verdict.failures
    assert report.kills == 1
