"""Points in time: what held in the world at one time, as believed at another."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from memory.errors import InvalidInput
from memory.models import Memory, Retraction, aware


@dataclass(frozen=True, slots=True)
class PointInTime:
    """A past to look at: what held at `as_of`, as believed at `believed_at`.

    None means now. With `as_of` None, everything that ever held is shown, as in reads without a
    point in time. A future `believed_at` equals now; a future `as_of` asks what is known of that
    time. Create it with `point_in_time`.
    """

    as_of: datetime | None
    believed_at: datetime | None

    @property
    def params(self) -> dict[str, Any]:
        """Returns the two times as statements name them."""
        return {"as_of": self.as_of, "believed_at": self.believed_at}

    @property
    def moment(self) -> datetime:
        """The earlier of the two: the present of a read at this point in time."""
        return min(t for t in (self.as_of, self.believed_at) if t is not None)

    def was_known(self, moment: datetime | None) -> bool:
        """Whether something learned or done at `moment` was known then."""
        return moment is None or self.believed_at is None or moment <= self.believed_at

    def holds(self, memory: Memory) -> bool:
        """Whether a memory was known then, and believed to hold."""
        start, end = memory.valid_from, memory.valid_to
        if self.as_of is not None and start is not None and start > self.as_of:
            return False
        ended = self.as_of is not None and end is not None and end <= self.as_of
        return not ended and self.was_known(memory.believed_from)

    def as_seen(self, memory: Memory) -> Memory:
        """Returns a memory as it looked then, without an end of its belief that came later."""
        if not self.was_known(memory.believed_to):
            return replace(memory, believed_to=None, retraction=None)
        retraction = memory.retraction
        return replace(memory, retraction=retraction and self.seen_retraction(retraction))

    def seen_retraction(self, retraction: Retraction) -> Retraction | None:
        """Returns a retraction as it looked then, or None if it came later."""
        if not self.was_known(retraction.retracted_at):
            return None
        if self.was_known(retraction.restored_at):
            return retraction
        return replace(retraction, restored_at=None, restored_by=None, restored_reason=None)


def point_in_time(as_of: datetime | None, believed_at: datetime | None) -> PointInTime | None:
    """Makes a point in time of both parameters, or None if neither is given.

    Raises:
        InvalidInput: a value is not a time.
        NaiveTime: a time has no zone.
    """
    if as_of is None and believed_at is None:
        return None
    return PointInTime(_time("as_of", as_of), _time("believed_at", believed_at))


def _time(name: str, moment: object) -> datetime | None:
    if moment is None:
        return None
    if not isinstance(moment, datetime):
        example = datetime.now(UTC).isoformat(timespec="seconds")
        raise InvalidInput(f"{name} must be a datetime with a zone ({example}), got {moment!r}")
    return aware(moment, name)
