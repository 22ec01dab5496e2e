"""A `memory` command that is quick to start, for pages that run it a hundred times.

`serving(directory)` starts one process that has imported the command line, and puts a script named
`memory` into the directory. The script hands its arguments, environment, folder and standard
streams to that process, which forks a child to be the command; so each is a process of its own.
"""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SCRIPT = """\
#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
    asked.connect({address!r})
    said = json.dumps([sys.argv, dict(os.environ), os.getcwd()]).encode()
    socket.send_fds(asked, [len(said).to_bytes(4, "big")], [0, 1, 2])
    asked.sendall(said)
    sys.exit(int(asked.recv(16) or b"70"))
"""


@contextmanager
def serving(directory: Path) -> Iterator[None]:
    """Keeps such a process while the block runs; `directory/memory` is the command."""
    with tempfile.TemporaryDirectory(prefix="memory-warm-") as hidden:
        address = str(Path(hidden) / "socket")
        script = directory / "memory"
        script.write_text(_SCRIPT.format(python=sys.executable, address=address))
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        command = [sys.executable, "-m", "tests.warm", address]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout
                assert server.stdout.readline() == "ready\n"
                yield
            finally:
                server.terminate()


def serve(address: str) -> None:
    """Becomes one command after another, each in a child, until it is terminated."""
    from tests.application import commands

    assert list(commands())  # imports them all
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(address)
        listening.listen()
        print("ready", flush=True)
        while True:
            asked, _ = listening.accept()
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                listening.close()
                _become(asked)
            asked.close()


def _become(asked: socket.socket) -> None:
    """Runs the command that is asked for in this process, and ends it."""
    from tests.application import application

    size, streams, _, _ = socket.recv_fds(asked, 4, 3)
    said = b""
    while len(said) < int.from_bytes(size, "big"):
        said += asked.recv(65_536)
    arguments, environment, folder = json.loads(said)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    code: object = 70
    try:
        application().main(arguments[1:], prog_name="memory")
    except SystemExit as end:
        code = end.code or 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        asked.sendall(str(code).encode())
        os._exit(0)


if __name__ == "__main__":
    serve(sys.argv[1])
