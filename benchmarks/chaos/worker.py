"""Runs the `memory` command with the extractors of the chaos run, and broken if asked to be.

python -m benchmarks.chaos.worker [--break NAME] extract --follow
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from benchmarks.chaos.breaks import BREAKS
from benchmarks.chaos.dying import die_with_parent
from benchmarks.chaos.extractors import DigestEmbedder, extractors
from benchmarks.chaos.stopping import Point, let_go, listen, stop_if_asked
from consumers import store
from consumers.__main__ import main as memory
from consumers.extraction.leases import Leases

SESSION_MS = int(os.environ.get("CHAOS_SESSION_MS", "3000"))
"""How long a group waits for a member that was killed: less than the product lets it, so that
partitions of one that was killed are worked on again before the next one is."""

LEASE_SECONDS = 5.0
"""The same of one that publishes changes."""


def main() -> None:
    """See the module; the command and its options are the product's own."""
    die_with_parent()
    listen()
    if sys.argv[1:2] == ["--break"]:
        BREAKS[sys.argv[2]].apply()
        del sys.argv[1:3]
    with _as_in_the_run(sys.argv[1]):
        memory()


@contextmanager
def _as_in_the_run(command: str) -> Iterator[None]:
    """For the command: a hasty consumer that may stop itself, or the run's own extractors."""
    with ExitStack() as stack:
        if command == "ingest":
            import kafka

            from consumers.ingest import session
            from consumers.ingest.store import IngestStore

            stack.enter_context(patch.object(session, "KafkaConsumer", _hasty(kafka.KafkaConsumer)))
            stack.enter_context(patch.object(IngestStore, "apply", _stopping(IngestStore.apply)))
        elif command == "changes":
            from consumers import changes

            stack.enter_context(patch.object(changes, "LEASE_SECONDS", LEASE_SECONDS))
        else:
            # Says which leases were lost.
            logging.getLogger("consumers.extraction").setLevel(logging.INFO)
            ours = {
                "installed_extractors": lambda _: extractors(),
                "create_embedder": lambda _: DigestEmbedder(),
            }
            for name, make in ours.items():
                stack.enter_context(patch.object(store, name, make))
            stack.enter_context(patch.object(Leases, "release", _letting_go(Leases.release)))
        yield


def _hasty(kind: Any) -> Any:
    def consumer(**options: Any) -> Any:
        return kind(**{**options, "session_timeout_ms": SESSION_MS, "heartbeat_interval_ms": 500})

    return consumer


def _stopping(apply: Any) -> Any:
    def stopping(store: Any, topic: Any, batch: Any) -> Any:
        if batch.accepted:
            ends = {range_.partition: range_.end for range_ in batch.ranges}
            stop_if_asked(Point.BATCH, {"ends": ends})
        try:
            return apply(store, topic, batch)
        finally:
            let_go()

    return stopping


def _letting_go(release: Any) -> Any:
    async def letting_go(*arguments: Any) -> None:
        try:
            await release(*arguments)
        finally:
            let_go()

    return letting_go


if __name__ == "__main__":
    main()
