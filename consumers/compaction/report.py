"""The report of a job, for people, for programs, and for a metrics collector."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

MOST_FINDINGS = 1_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken invariant; `where` names the row, `repaired` says whether it was repaired."""

    invariant: str
    user: str | None
    where: str
    repaired: bool = False

    def __str__(self) -> str:
        whose = f" of user {self.user!r}" if self.user else ""
        return f"{self.invariant}: {self.where}{whose}{' (repaired)' if self.repaired else ''}"


@dataclass(slots=True)
class JobReport:
    """The result of one job in one tenant; of a dry run, the result it would have.

    examined: users, or attributes for `promote`.
    changed: numbers of changes, by name; in a dry run, of the changes it would make.
    measured: the job's own numbers, such as pages before and after.
    findings: the first `MOST_FINDINGS` broken invariants that `verify` found; `found` counts all.
    skipped: why it did not run; it then did nothing.
    """

    job: str
    tenant: str
    dry_run: bool = False
    examined: int = 0
    batches: int = 0
    seconds: float = 0.0
    changed: dict[str, int] = field(default_factory=dict)
    measured: dict[str, float] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    found: int = 0
    repaired: int = 0
    skipped: str | None = None

    @property
    def sound(self) -> bool:
        """Whether nothing was found, or all of it was repaired."""
        return self.found == self.repaired

    def count(self, what: str, number: int = 1) -> None:
        """Adds to the changes."""
        self.changed[what] = self.changed.get(what, 0) + number

    def find(self, finding: Finding) -> None:
        """Adds a broken invariant."""
        self.found += 1
        self.repaired += finding.repaired
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(finding)

    def json(self) -> dict[str, Any]:
        return asdict(self)

    def metrics(self) -> str:
        """Returns the report in Prometheus' text format, for a file that a collector reads."""
        return metrics([self])

    def __str__(self) -> str:
        head = f"{self.job} in {self.tenant!r}{' (dry run)' if self.dry_run else ''}"
        if self.skipped:
            return f"{head}: skipped, {self.skipped}"
        did = ", ".join(f"{number:,} {what}" for what, number in self.changed.items() if number)
        numbers = ", ".join(f"{name} {number:,.1f}" for name, number in self.measured.items())
        parts = [did or "nothing to do", numbers, f"{self.examined:,} examined"]
        line = f"{head}: {'; '.join(part for part in parts if part)}; {self.seconds:.1f} s"
        return "\n".join([line, *(f"  {finding}" for finding in self.findings)])


def metrics(reports: Iterable[JobReport]) -> str:
    """Returns reports in Prometheus' text format; dry runs and skipped jobs have none."""
    ran = [r for r in reports if not (r.dry_run or r.skipped)]
    families: dict[str, list[str]] = {
        "memory_compaction_seconds": [],
        "memory_compaction_examined": [],
        "memory_compaction_changed": [],
        "memory_compaction_measured": [],
        "memory_compaction_unrepaired": [],
    }
    for report in ran:
        labels = {"job": report.job, "tenant": report.tenant}
        _add(families, "seconds", labels, report.seconds)
        _add(families, "examined", labels, report.examined)
        _add(families, "unrepaired", labels, report.found - report.repaired)
        for what, number in report.changed.items():
            _add(families, "changed", {**labels, "what": what}, number)
        for what, value in report.measured.items():
            _add(families, "measured", {**labels, "what": what}, value)
    lines = []
    for name, samples in families.items():
        if samples:
            lines += [f"# TYPE {name} gauge", *samples]
    return "".join(f"{line}\n" for line in lines)


def _add(
    families: dict[str, list[str]], name: str, labels: Mapping[str, str], value: float
) -> None:
    full = f"memory_compaction_{name}"
    given = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    families[full].append(f"{full}{{{given}}} {value:g}")


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
