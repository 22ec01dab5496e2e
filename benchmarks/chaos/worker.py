"""Runs the `memory` command with the extractors of the chaos run, and broken if asked to be.

python -m benchmarks.chaos.worker [--break NAME] extract --follow
"""

import signal
import sys
from unittest.mock import patch

from benchmarks.chaos.breaks import BREAKS
from benchmarks.chaos.dying import die_with_parent
from benchmarks.chaos.extractors import DigestEmbedder, extractors, stop_at_next_batch
from consumers import store
from consumers.__main__ import main as memory


def main() -> None:
    """See the module; the command and its options are the product's own."""
    die_with_parent()
    signal.signal(signal.SIGUSR1, stop_at_next_batch)
    if sys.argv[1:2] == ["--break"]:
        BREAKS[sys.argv[2]].apply()
        del sys.argv[1:3]
    with (
        patch.object(store, "installed_extractors", lambda _: extractors()),
        patch.object(store, "create_embedder", lambda _: DigestEmbedder()),
    ):
        memory()


if __name__ == "__main__":
    main()
