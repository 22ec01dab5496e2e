"""Waits until a test run has ended and cleans up after it: `python -m tests.guard FOLDER`.

Its standard input is a pipe that only the run holds: the end of the input is the end of the run,
also where the run was killed. It writes one line for each process that it had to stop.
"""

import os
import sys
from pathlib import Path

from tests.runs import clean


def main(folder: Path) -> None:
    os.chdir("/")
    sys.stdin.read()
    stopped = clean(folder)
    try:
        sys.stdout.writelines(f"{line}\n" for line in stopped)
        sys.stdout.flush()
    except BrokenPipeError:  # the run was killed, so nobody reads it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
