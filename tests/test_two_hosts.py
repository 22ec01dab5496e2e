"""Two hosts, one store: one is cut off within a batch and returns, and nothing is applied twice."""

import asyncio
import tempfile
from pathlib import Path

import pytest

from benchmarks.two_hosts.extraction import Extraction
from benchmarks.two_hosts.ingestion import Ingestion
from benchmarks.two_hosts.network import NotPossible
from benchmarks.two_hosts.scene import Work, two_hosts


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.kafka
@pytest.mark.parametrize("work", [Extraction(), Ingestion()], ids=lambda work: work.name)
def test_a_host_that_was_cut_off_changes_nothing_when_it_returns(work: Work) -> None:
    with tempfile.TemporaryDirectory(prefix="memory-hosts-") as name:
        Path(name).chmod(0o755)  # as root the server's own account must be able to enter
        try:
            seen = asyncio.run(two_hosts(work, Path(name), messages=500, lease=2.0))
        except NotPossible as error:
            pytest.skip(f"not possible here: {error}")
    assert seen.wrong == {}
    assert seen.worked_again
    assert seen.refused > 0
