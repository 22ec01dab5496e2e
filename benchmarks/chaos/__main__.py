"""Kills everything at any time and checks that nothing is lost, doubled or out of order.

    python -m benchmarks.chaos --kills 200 --messages 100000 --seed 1 [--json]

Producers with known content send to the bus; `memory ingest` and `memory extract` processes work
it off; meanwhile processes, broker and Postgres are killed and come back, processes are stopped
past their lease, connections cut in the middle of a transaction. Once everything is worked off,
every check of `benchmarks.chaos.checks` looks at the store. Exits 1 where one of them fails.

    python -m benchmarks.chaos --break no-lease-token

runs a variant with a guard taken out, and has the one thing happen that the guard is for; with
`--kills` or `--only` what happens is drawn as always. `benchmarks.chaos.proving` runs all variants.
"""

import argparse
import asyncio
import json
import sys
from dataclasses import replace
from typing import Any

from benchmarks.chaos.breaks import BREAKS
from benchmarks.chaos.proving import directed
from benchmarks.chaos.running import Options, Report, run


def main() -> None:
    """Runs, and prints what was broken and what the checks say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, help="SIGKILLs; other faults come on top")
    parser.add_argument("--messages", type=int)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--users", type=int)
    parser.add_argument("--pace", type=float, help="mean seconds between faults")
    parser.add_argument("--bus", choices=["kafka", "postgres"])
    parser.add_argument("--break", dest="broken", choices=BREAKS, metavar="NAME",
                        help=f"a broken variant of the product: {', '.join(BREAKS)}")  # fmt: skip
    parser.add_argument("--only", action="append", metavar="FAULT",
                        help="only faults of this kind; may be repeated")  # fmt: skip
    parser.add_argument("--not-resent", dest="resent", action="store_false", default=None,
                        help="producers send nothing twice of their own accord")  # fmt: skip
    parser.add_argument("--json", action="store_true")
    given = {name: value for name, value in vars(parser.parse_args()).items() if value is not None}
    as_json = given.pop("json")
    options = chosen(given)
    report = asyncio.run(run(options, told=lambda line: print(line, file=sys.stderr)))
    print(json.dumps(report.as_json(), indent=2) if as_json else shown(report))
    sys.exit(0 if report.verdict else 1)


def chosen(given: dict[str, Any]) -> Options:
    """What was given; a broken variant meets the fault that shows it unless other faults are."""
    if "only" in given:
        given["only"] = tuple(given["only"])
    if "broken" in given and not {"only", "kills"} & given.keys():
        return replace(directed(given["broken"]), **given)
    return Options(**given)


def shown(report: Report) -> str:
    """The report as text."""
    lines = [f"{name:28}{value}" for name, value in report.as_json().items() if name != "failures"]
    failures = report.verdict.failures
    lines += [f"FAILED {name}: {what}" for name, what in failures.items()]
    return "\n".join([*lines, "FAILED" if failures else "every check holds"])


if __name__ == "__main__":
    main()
