"""Two hosts share one store; one is cut off with a batch in its hands, and returns.

    python -m benchmarks.two_hosts [extract] [ingest] [--messages 3000] [--lease 3] [--seed 1]

Each host is a network namespace with `memory extract --follow` or `memory ingest` in it, the
product's own command, and reaches Postgres and the broker over a link of its own. The first host's
link goes down while it has a batch in its hands, for longer than the lease of a user, or than the
group waits for a member. The other takes over. Then the link comes back, and what the first host
still had to say arrives late. In the end the store must hold what was recorded, once and in order,
each interaction extracted exactly once (`benchmarks.chaos.checks`). Exits 1 where anything else is
true, and 2 where this machine cannot do it.

Needs Linux, root and `ip` of iproute2, and Java and Maven for `ingest`. The addresses exist inside
the namespaces alone, which are removed in the end.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from benchmarks.chaos.dying import die_with_parent
from benchmarks.two_hosts.extraction import Extraction
from benchmarks.two_hosts.ingestion import Ingestion, print_ends, serve_broker
from benchmarks.two_hosts.network import NotPossible, forward
from benchmarks.two_hosts.scene import Outcome, two_hosts

WORKS = {"extract": Extraction, "ingest": Ingestion}


def main() -> None:
    """Plays the scenes and prints what was seen."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("works", nargs="*", metavar="WORK", help="extract, ingest; both if none")
    parser.add_argument("--messages", type=int, default=3_000)
    parser.add_argument("--lease", type=float, default=3.0, help="also how long a group waits")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--forward", metavar="SOCKET", help=argparse.SUPPRESS)
    parser.add_argument("--broker", metavar="DIRECTORY", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--ends", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if unknown := set(args.works) - set(WORKS):
        parser.error(f"no such work: {sorted(unknown)!r}")
    if args.forward or args.broker or args.ends:
        _serve(args)
        return
    try:
        found = [_played(work, args) for work in args.works or WORKS]
    except NotPossible as error:
        parser.exit(2, f"{error}\n")
    sys.exit(1 if any(outcome.wrong for outcome in found) else 0)


def _serve(args: argparse.Namespace) -> None:
    """What this module does within a namespace."""
    die_with_parent()
    if args.ends:
        print_ends()
    else:
        asyncio.run(forward(args.forward) if args.forward else serve_broker(args.broker))


def _played(work: str, args: argparse.Namespace) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="memory-hosts-", dir="/tmp") as name:
        Path(name).chmod(0o755)  # as root the server's own account must be able to enter
        sizes = {"messages": args.messages, "lease": args.lease, "seed": args.seed}
        found = asyncio.run(two_hosts(WORKS[work](), Path(name), **sizes))
    sys.stdout.write(json.dumps(asdict(found), indent=None if args.json else 2) + "\n")
    return found


if __name__ == "__main__":
    main()
