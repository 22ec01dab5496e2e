"""Kills everything at any time and checks that nothing is lost, doubled or out of order.

    python -m benchmarks.chaos --kills 200 --messages 100000 --seed 1 [--json]

Producers with known content send to the bus; `memory ingest` and `memory extract` processes work
it off; meanwhile processes, broker and Postgres are killed and come back, processes are stopped
past their lease, connections cut in the middle of a transaction. Once everything is worked off,
every check of `benchmarks.chaos.checks` looks at the store. Exits 1 where one of them fails.
"""

import argparse
import asyncio
import json
import sys

from benchmarks.chaos.breaks import BREAKS
from benchmarks.chaos.running import Options, Report, run


def main() -> None:
    """Runs, and prints what was broken and what the checks say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=20, help="SIGKILLs; other faults come on top")
    parser.add_argument("--messages", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--users", type=int, default=120)
    parser.add_argument("--pace", type=float, default=2.0, help="mean seconds between faults")
    parser.add_argument("--bus", choices=["kafka", "postgres"], default="kafka")
    names = ", ".join(sorted(BREAKS))
    parser.add_argument("--break", dest="broken", choices=BREAKS, metavar="NAME",
                        help=f"run a broken variant of the product: {names}")  # fmt: skip
    parser.add_argument("--only", action="append", default=[], metavar="FAULT",
                        help="only faults of this kind; may be repeated")  # fmt: skip
    parser.add_argument("--not-resent", dest="resent", action="store_false",
                        help="producers send nothing twice of their own accord")  # fmt: skip
    parser.add_argument("--json", action="store_true")
    args = vars(parser.parse_args())
    as_json = args.pop("json")
    args["only"] = tuple(args["only"])
    report = asyncio.run(run(Options(**args), told=lambda line: print(line, file=sys.stderr)))
    print(json.dumps(report.as_json(), indent=2) if as_json else shown(report))
    sys.exit(0 if report.verdict else 1)


def shown(report: Report) -> str:
    """The report as text."""
    lines = [f"{name:28}{value}" for name, value in report.as_json().items() if name != "failures"]
    failures = report.verdict.failures
    lines += [f"FAILED {name}: {what}" for name, what in failures.items()]
    return "\n".join([*lines, "FAILED" if failures else "every check holds"])


if __name__ == "__main__":
    main()
