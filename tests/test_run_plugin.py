"""A missing server is skipped by a quick run and fails the full one."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests import runs
from tests.run_plugin import FULL, PORTS, ports

NEEDS_A_BROKER = "tests/test_broker.py"


def run_without_java(*options: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Pytest on a machine that has no command at all, and no Docker engine."""
    kept = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("MEMORY_", "PYTEST_")) and k not in {runs.VARIABLE, "TMPDIR"}
    }
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-rs", *options, NEEDS_A_BROKER],
        cwd=runs.ROOT,
        env={**kept, "PATH": str(path), "DOCKER_HOST": f"unix://{path}/none"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_a_missing_server_is_skipped(tmp_path: Path) -> None:
    done = run_without_java(path=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "no Kafka broker: " in done.stdout
    assert "1 skipped" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("-n", "1")], ids=["one process", "a worker"])
def test_a_missing_server_fails_the_full_run(tmp_path: Path, options: Sequence[str]) -> None:
    done = run_without_java(FULL, *options, path=tmp_path)
    assert done.returncode == 1
    assert "the full run skips nothing, and this was skipped" in done.stdout
    assert "Java is not installed" in done.stdout
    assert "1 error" in done.stdout


def test_workers_draw_from_ports_of_their_own() -> None:
    drawn = [set(ports(f"gw{n}")) for n in range(4)]
    assert len(set.union(*drawn)) == sum(map(len, drawn))
    assert set.union(*drawn) <= set(PORTS)
