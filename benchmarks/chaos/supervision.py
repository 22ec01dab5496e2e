"""Keeps processes running, whatever kills them, and knows which of them ended unasked."""

import asyncio
import contextlib
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

STOPPING_SECONDS = 30.0


@dataclass(eq=False)
class Kept:
    """One process that is started again whenever it ends, until it is let go.

    ended: the exit codes it ended with that nobody asked for.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    delay: float = 0.2
    done: asyncio.Event = field(default_factory=asyncio.Event)
    ended: list[str] = field(default_factory=list)
    process: asyncio.subprocess.Process | None = None
    starts: int = 0
    _let_go: bool = False
    _killed: bool = False
    _keeper: asyncio.Task[None] | None = None

    def keep(self) -> None:
        """Starts it, now and again."""
        self._keeper = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        while not self._let_go:
            self._killed = False
            with self.log.open("ab") as log:
                self.process = await asyncio.create_subprocess_exec(
                    *self.command,
                    env=self.environment,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            self.starts += 1
            code = await self.process.wait()
            if code == 0:
                break
            if not self._killed and not self._let_go:
                self.ended.append(f"{self.name} ended with {code}: {self._last_words()}")
            await asyncio.sleep(self.delay)
        self.done.set()

    @property
    def running(self) -> bool:
        """Whether it runs, or is stopped, now."""
        return self.process is not None and self.process.returncode is None

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        assert self.process is not None
        return self.process.pid

    def kill(self) -> bool:
        """SIGKILL; False where nothing runs just now."""
        if not self.running:
            return False
        self._killed = True
        self.signal(signal.SIGKILL)
        return True

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to it if it runs."""
        if self.process is not None and self.running:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)

    @property
    def stopped(self) -> bool:
        """Whether it is held by SIGSTOP."""
        return is_stopped(self.pid)

    async def let_go(self) -> str | None:
        """SIGTERM, and no start after; what is wrong with how it ended, if anything."""
        self._let_go = True
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.done.wait(), STOPPING_SECONDS)
        except TimeoutError:
            self.kill()
            await self.done.wait()
            return f"{self.name} did not end within {STOPPING_SECONDS:.0f} s of SIGTERM"
        code = self.process.returncode if self.process else 0
        if code not in (0, -signal.SIGTERM) and not self._killed:
            return f"{self.name} ended with {code} on SIGTERM: {self._last_words()}"
        return None

    def _last_words(self) -> str:
        return " | ".join(self.log.read_text(errors="replace").splitlines()[-3:])


def is_stopped(pid: int) -> bool:
    """Whether a process is held by SIGSTOP."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] == "T"
