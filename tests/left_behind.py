"""What a run may leave behind when it is killed; `test_runs.py` runs and kills it.

Its one test starts a server, a process that outlives its parent and ignores signals, as a broker
might, and a folder; it writes down what it started and then never ends.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.runs import VARIABLE

FOREVER = [
    sys.executable,
    "-c",
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()",
]


def test_never_ends(server: str) -> None:
    folder = tempfile.mkdtemp()
    child = subprocess.Popen(FOREVER, start_new_session=True)
    (data,) = Path(os.environ[VARIABLE]).glob("postgres-*/postgres/postmaster.pid")
    postmaster = int(data.read_text().splitlines()[0])
    told = Path(os.environ["LEFT_BEHIND"])
    made = {"processes": [os.getpid(), child.pid, postmaster], "folder": folder}
    told.with_suffix(".partial").write_text(json.dumps(made))
    told.with_suffix(".partial").rename(told)
    signal.pause()
