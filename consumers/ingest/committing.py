"""Commits a batch in its own thread while the next one is read."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from threading import Thread

from consumers.ingest.assignment import OwnedPartition
from consumers.ingest.store import Counts


class Committing:
    """A batch that is being applied; `ends` holds its end in each partition.

    Nothing else may use the connection until it is over.
    """

    def __init__(self, apply: Callable[[], Counts], ends: Mapping[OwnedPartition, int]) -> None:
        self._ends = ends
        self._done: Future[Counts] = Future()
        # A process that is told to end at once does not wait for a database that is silent.
        Thread(target=self._run, args=(apply,), name="ingest-commit", daemon=True).start()

    def wait(self, seconds: float | None = None) -> bool:
        """Returns once the commit has succeeded or failed; False if `seconds` were not enough."""
        return bool(wait([self._done], seconds).done)

    def then(self, act: Callable[[], None]) -> None:
        """Calls `act` once it is over, in whatever thread."""
        self._done.add_done_callback(lambda _: act())

    def result(self) -> Counts:
        """Returns the counts of its records once it is over, or raises its error."""
        counts = self._done.result()
        for owned, end in self._ends.items():
            owned.applied = end
        return counts

    def _run(self, apply: Callable[[], Counts]) -> None:
        try:
            counts = apply()
        except BaseException as error:  # noqa: BLE001 - raised by whoever asks for the result
            self._done.set_exception(error)
        else:
            self._done.set_result(counts)
