"""A process that stops itself where it hurts: with a batch read, and nothing of it committed."""

import os
import signal

_asked = False


def stop_at_next_batch(*_: object) -> None:
    """A signal's handler: asks the process to stop itself when it has read its next batch."""
    global _asked  # noqa: PLW0603 - a signal's handler has nowhere else to put it
    _asked = True


def stop_if_asked() -> None:
    """Stops here, once; what was read so far is of yesterday when somebody lets it go on."""
    global _asked  # noqa: PLW0603
    if _asked:
        _asked = False
        os.kill(os.getpid(), signal.SIGSTOP)
