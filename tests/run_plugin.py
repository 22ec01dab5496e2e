"""What pytest does around the tests: the run's folder and guard, markers, servers, the full run.

With several processes the first one (the controller) begins and ends the run; the others (workers)
join it and tell it which servers they used.
"""

import os
from collections.abc import Generator
from typing import Any

import pytest

from benchmarks import broker
from tests import runs, servers

FULL = "--full"

MARKED_BY_FIXTURE = {
    "server": "postgres",
    "kafka": "kafka",
    "guarded": "kafka",
    "distribution": "distribution",
}
"""Fixtures that start a server, and the marker of every test that needs one of them."""

MAY_SKIP = ("docker", "optional")
"""Markers of tests that the full run may skip."""

PORTS, PORTS_OF_A_WORKER = broker.PORTS, 1000


class RunPlugin:
    """The hooks of one pytest process."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.full: bool = config.getoption(FULL)
        self.worker: dict[str, Any] | None = getattr(config, "workerinput", None)
        self.told: dict[str, Any] = getattr(config, "workeroutput", {})
        self.run: runs.Run | None = None
        self.stopped: list[str] = []
        if self.worker is None:
            self.run = runs.begin()
        else:
            runs.join(runs.current())
            # The readline module, which pytest imports, hands children a terminal's size.
            for name in ("COLUMNS", "LINES"):
                os.environ.pop(name, None)
            broker.PORTS = ports(self.worker["workerid"])

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            for fixture in getattr(item, "fixturenames", ()):
                if fixture in MARKED_BY_FIXTURE:
                    item.add_marker(MARKED_BY_FIXTURE[fixture])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if self.full and not any(map(item.get_closest_marker, MAY_SKIP)):
            _refuse_skip(report)
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self,
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        report = yield
        if self.full:
            _refuse_skip(report)
        return report

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.worker is not None:
            self.told["servers"] = servers.USED
        elif self.run is not None:
            self.stopped = self.run.end()
            self.run = None
            if self.stopped or self._unused():
                session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        for name, versions in getattr(node, "workeroutput", {}).get("servers", {}).items():
            servers.USED.setdefault(name, set()).update(versions)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("servers used")
        for name, versions in sorted(servers.USED.items()):
            terminalreporter.line(f"{name} {', '.join(sorted(versions))}")
        for line in self._unused():
            terminalreporter.line(line, red=True)
        for line in self.stopped:
            terminalreporter.line(f"still ran after the tests: {line}", red=True)

    def _unused(self) -> list[str]:
        """Servers missing from a full run of the whole suite."""
        whole = self.config.args_source is pytest.Config.ArgsSource.TESTPATHS
        chosen = self.config.option.keyword or self.config.option.markexpr
        return servers.unused() if self.full and whole and not chosen else []


def ports(worker: str) -> range:
    """The ports of a worker's brokers: no two workers draw from the same ones."""
    first = PORTS.start + PORTS_OF_A_WORKER * int(worker.removeprefix("gw"))
    return range(first, first + PORTS_OF_A_WORKER)


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"the full run skips nothing, and this was skipped: {reason}"
