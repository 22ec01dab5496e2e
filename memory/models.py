"""The vocabulary: frozen values that every room passes on.

All times are aware; times read back from the store are in UTC, except for when an interaction
occurred: that keeps the offset of whoever sent it, so that "yesterday" is the speaker's.
"""

import json
import re
import reprlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta, timezone
from enum import IntEnum, StrEnum
from functools import cache
from types import MappingProxyType
from typing import Any, Literal, Self

from pydantic import TypeAdapter, ValidationError

from memory.errors import HIDDEN, InvalidInput, InvalidInteraction, InvalidScope, NaiveTime

MAX_NAME_CHARACTERS = 200
"""The limit for a tenant, user, agent, session, id, actor or source."""


class Tier(StrEnum):
    """The tier of a memory: who owns it, and how long it is kept."""

    WORKING = "working"
    LONG_TERM = "long_term"
    COLLECTIVE = "collective"


class MemoryKind(StrEnum):
    """The kind of knowledge in a memory."""

    EPISODE = "episode"
    FACT = "fact"
    PREFERENCE = "preference"
    PROCEDURE = "procedure"
    SUMMARY = "summary"


@dataclass(frozen=True, slots=True)
class KindTraits:
    """What sets the memories of one kind apart wherever they are treated differently.

    section: the part of a context they stand in; `memory.context.rendering` has the titles.
    verbatim: whether they repeat what was said. Then a place in the log has only one, and it is
        deleted together with the interactions it repeats.
    publishable: whether the collective tier may hold them. The CHECK of `collective_memories` lists
        the same kinds.
    governs: whether they bear on a request that has no word in common with them.
    of_acts: whether an agent's own acts found them.
    """

    section: Literal["profile", "workflows", "episodes"]
    verbatim: bool = False
    publishable: bool = False
    governs: bool = False
    of_acts: bool = False


KIND_TRAITS: Mapping[MemoryKind, KindTraits] = MappingProxyType(
    {
        MemoryKind.EPISODE: KindTraits("episodes", verbatim=True),
        MemoryKind.FACT: KindTraits("profile", publishable=True),
        MemoryKind.PREFERENCE: KindTraits("profile", publishable=True, governs=True),
        MemoryKind.PROCEDURE: KindTraits("workflows", publishable=True, of_acts=True),
        MemoryKind.SUMMARY: KindTraits("episodes", verbatim=True),
    }
)
"""One row a kind. No other module asks for a kind by name to treat it differently."""

VERBATIM_KINDS = tuple(kind for kind, traits in KIND_TRAITS.items() if traits.verbatim)
PUBLISHABLE_KINDS = tuple(kind for kind, traits in KIND_TRAITS.items() if traits.publishable)


class InteractionKind(StrEnum):
    """The kind of event between agent and user; a NOTE is what an app asks to remember."""

    MESSAGE = "message"
    TOOL_CALL = "tool_call"
    TOOL_RESULT = "tool_result"
    RETRIEVAL = "retrieval"
    FEEDBACK = "feedback"
    MODEL_CALL = "model_call"
    NOTE = "note"


class Role(StrEnum):
    """The party that acted."""

    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"
    TOOL = "tool"


class ModelTask(StrEnum):
    """A task for a language model."""

    EXTRACT = "extract"
    CONSOLIDATE = "consolidate"
    SUMMARISE = "summarise"


class Origin(StrEnum):
    """Whose words a piece of evidence is; `trust_of` says how far it can found a belief.

    RECORD: a system of record (a CRM row, a profile), named so by the tenant.
    PERSON: the person directly.
    APP: the app, by `remember()` or in the system's role.
    AGENT: the agent's own words and acts.
    TOOL: the result of an internal tool.
    QUOTED: what the person pasted or quoted.
    EXTERNAL: an external tool or page.
    DOCUMENT: a retrieved document.
    OTHER_AGENT: another agent.
    """

    RECORD = "record"
    PERSON = "person"
    APP = "app"
    AGENT = "agent"
    TOOL = "tool"
    QUOTED = "quoted"
    EXTERNAL = "external"
    DOCUMENT = "document"
    OTHER_AGENT = "other_agent"


class Trust(IntEnum):
    """How far an origin is trusted; only TRUSTED and OF_RECORD found beliefs.

    OF_RECORD: founds beliefs that talk neither ends nor outranks.
    TRUSTED: founds beliefs about the person, and standing instructions.
    REPORTED, UNTRUSTED: may propose; a proposal waits for review.
    """

    UNTRUSTED = 0
    REPORTED = 1
    TRUSTED = 2
    OF_RECORD = 3


_TRUST: Mapping[Origin, Trust] = MappingProxyType(
    {
        Origin.RECORD: Trust.OF_RECORD,
        Origin.PERSON: Trust.TRUSTED,
        Origin.APP: Trust.TRUSTED,
        Origin.AGENT: Trust.REPORTED,
        Origin.TOOL: Trust.REPORTED,
        Origin.QUOTED: Trust.UNTRUSTED,
        Origin.EXTERNAL: Trust.UNTRUSTED,
        Origin.DOCUMENT: Trust.UNTRUSTED,
        Origin.OTHER_AGENT: Trust.UNTRUSTED,
    }
)
TRUSTED_ORIGINS = tuple(origin for origin in Origin if _TRUST[origin] >= Trust.TRUSTED)
"""The origins that found beliefs by themselves."""

_BY_TRUST = {origin: (_TRUST[origin], -place) for place, origin in enumerate(Origin)}


def trust_of(origin: Origin | None) -> Trust | None:
    """Returns how far an origin is trusted; None for what was made before origins were kept."""
    return None if origin is None else _TRUST[origin]


def least_trusted(origins: Iterable[Origin | None]) -> Origin | None:
    """Returns the least trusted of some origins, the later in `Origin` of two that are equal.

    None if there is none, or one of them is unknown.
    """
    found = list(origins)
    known = [origin for origin in found if origin is not None]
    return min(known, key=_BY_TRUST.__getitem__) if known and len(known) == len(found) else None


class Stance(StrEnum):
    """Evidence either supports a memory or contradicts it."""

    SUPPORTS = "supports"
    CONTRADICTS = "contradicts"


@dataclass(frozen=True, slots=True)
class Scope:
    """The owner of memories: a tenant's user, optionally narrowed to one agent and one session.

    Raises:
        InvalidScope: a part is empty, longer than 200 characters, or holds a NUL.
    """

    tenant: str
    user: str
    agent: str | None = None
    session: str | None = None

    def __post_init__(self) -> None:
        _check_name("tenant", self.tenant)
        _check_name("user", self.user)
        for part in ("agent", "session"):
            value = getattr(self, part)
            if value is not None:
                _check_name(part, value)

    def in_session(self, session: str) -> Self:
        """Returns the same scope, narrowed to one session."""
        return replace(self, session=session)

    def require_session(self) -> str:
        """Returns the session, or raises InvalidScope if the scope names none."""
        if self.session is None:
            raise InvalidScope(f"this call needs a session: {self!r}; use scope.in_session(...)")
        return self.session


def _check_name(part: str, value: object) -> None:
    text = value if isinstance(value, str) else ""
    if not 0 < len(text) <= MAX_NAME_CHARACTERS or fault_of(text):
        raise InvalidScope(
            f"{part} must be 1 to {MAX_NAME_CHARACTERS} characters without NUL or half a surrogate"
            f" pair, got {reprlib.repr(value)}"
        )


def fault_of(text: str) -> str | None:
    """Returns why Postgres cannot store `text`, or None if it can."""
    if "\x00" in text:
        return f"holds a NUL character at {text.index(chr(0))}"
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            return f"holds half of a surrogate pair at {error.start}"
    return None


_HIDDEN = re.compile(f"[{HIDDEN}]")


def name_fault(name: str) -> str | None:
    """Returns why a new name cannot be taken, or None if it can; names stand in logs and lists.

    Names that were taken before this rule stay readable, so a scope may hold them.
    """
    if fault := fault_of(name):
        return fault
    if name.isprintable() or not (found := _HIDDEN.search(name)):
        return None
    return f"holds the control character U+{ord(found[0]):04X} at {found.start()}"


def aware(moment: datetime, what: str = "time") -> datetime:
    """Returns `moment` in UTC.

    Raises:
        NaiveTime: it has no zone.
        InvalidInteraction: in UTC it lies outside the years 1 to 9999.
    """
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise NaiveTime(f"{what} needs a time zone, got {moment.isoformat()!r}")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise InvalidInteraction(
            f"{what} must lie in the years 1 to 9999 of UTC, got {moment.isoformat()!r}"
        ) from None


def offset_minutes(moment: datetime) -> int:
    """Returns how far an aware time's zone is ahead of UTC, in whole minutes."""
    ahead = moment.utcoffset()
    return 0 if ahead is None else round(ahead.total_seconds() / 60)


def at_offset(moment: datetime, minutes: int) -> datetime:
    """Returns an aware time as a clock shows it that is `minutes` ahead of UTC.

    Where that is no time of the calendar it stays in UTC.
    """
    if not minutes:
        return moment.astimezone(UTC)
    try:
        return moment.astimezone(_zone(minutes))
    except OverflowError:
        return moment.astimezone(UTC)


@cache
def _zone(minutes: int) -> timezone:
    return timezone(timedelta(minutes=minutes))


@dataclass(frozen=True, slots=True)
class Interaction:
    """One immutable event between agent and user.

    `actor` names the speaker in a conversation with several people on one side. `position` is the
    interaction's number in the user's log, and `ordinal` its number in the session; both count from
    1 in the order of recording, and are 0 until the interaction is in the log. `occurred_at`
    has the offset from UTC that the speaker's clock had.
    """

    scope: Scope
    id: str
    kind: InteractionKind
    role: Role
    content: str
    occurred_at: datetime
    payload: Mapping[str, Any] = field(default_factory=dict)
    actor: str | None = None
    private: bool = False
    source: str = "client"
    ordinal: int = 0
    position: int = 0
    recorded_at: datetime | None = None

    @property
    def wall_clock(self) -> datetime:
        """What the speaker's clock showed, as if it were UTC: `Mention.begins` compares with it."""
        return self.occurred_at.replace(tzinfo=UTC)

    @property
    def session(self) -> str:
        """The session this interaction belongs to."""
        return self.scope.require_session()


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a message on the bus: an offset in a partition of one topic.

    The ids distinguish a topic from a later topic of the same name. `offset` is -1 if the broker
    did not return one.
    """

    cluster_id: str
    topic_id: str
    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}@{self.offset}"


@dataclass(frozen=True, slots=True)
class Receipt:
    """The result of `record()`: the interaction is in the log, or durable on its way there.

    Until the interaction is in the log, `place` says where it is on the bus, and `ordinal` and
    `position` are 0. `duplicate` is true if the id was already in the log with the same content.
    """

    interaction_id: str
    session: str
    ordinal: int
    position: int
    duplicate: bool = False
    place: Place | None = None

    def json(self) -> str:
        """Returns the receipt as text, for another process; `from_json` reads it back."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Reads a receipt that `json()` wrote.

        Raises:
            InvalidInput: `text` is not a receipt.
        """
        try:
            return TypeAdapter(cls).validate_json(text, strict=True)
        except (ValidationError, TypeError) as error:
            raise InvalidInput(f"not a receipt: {reprlib.repr(text)}") from error


@dataclass(frozen=True, slots=True)
class Evidence:
    """A span of one interaction that supports or contradicts a memory.

    `start` and `end` are character offsets into the interaction's content, end exclusive; `quote`
    is exactly that slice. `origin` says whose words these are; None until the log was asked, and
    for what was made before origins were kept. `source` is the system that recorded the
    interaction; only `explain()` sets it.
    """

    interaction_id: str
    quote: str
    start: int
    end: int
    occurred_at: datetime
    stance: Stance = Stance.SUPPORTS
    origin: Origin | None = None
    source: str | None = None

    @property
    def trust(self) -> Trust | None:
        """How far its origin is trusted; None if the origin is not known."""
        return trust_of(self.origin)


@dataclass(frozen=True, slots=True)
class Provenance:
    """The extractor, prompt and model that made a memory."""

    extractor: str
    extractor_version: str
    prompt: str | None = None
    prompt_version: str | None = None
    prompt_hash: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A memory that an extractor proposes, before consolidation.

    attribute, value: a normalised pair (`lives_in`, `munich`) that identifies what a belief is
        about; None for free text such as episodes, which only matches its own repetition.
    subject: the person or thing it is about; None means the user.
    context: a condition under which it holds (`for backend roles`); None means always.
    single_valued: a newer value of the attribute ends the older one.
    stance: CONTRADICTS ends the belief in this (attribute, value), or in every value of the
        attribute if `value` is None.
    confidence, importance: 0 to 1.
    occurred_at: event time of the newest evidence; beliefs are ordered by it.
    valid_from, valid_to: when it holds in the world; by default from `occurred_at`, without an end.
    search_text: words that recall also matches, though the text does not hold them (dates, names,
        captions).
    made_by: its provenance, if that is more than the proposing extractor: the prompt and model, or
        the extractor that replaced a model.
    """

    kind: MemoryKind
    text: str
    evidence: tuple[Evidence, ...]
    occurred_at: datetime
    attribute: str | None = None
    value: str | None = None
    subject: str | None = None
    context: str | None = None
    single_valued: bool = False
    stance: Stance = Stance.SUPPORTS
    confidence: float = 1.0
    importance: float = 0.5
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    search_text: str = ""
    payload: Mapping[str, Any] = field(default_factory=dict)
    made_by: Provenance | None = None


@dataclass(frozen=True, slots=True)
class Retraction:
    """The retraction of one interaction: when, by whom and why, and the same for its restoring.

    restored_at: None as long as the interaction does not count.
    """

    interaction_id: str
    retracted_at: datetime
    retracted_by: str
    reason: str = ""
    restored_at: datetime | None = None
    restored_by: str | None = None
    restored_reason: str | None = None

    def __str__(self) -> str:
        why = f": {self.reason}" if self.reason else ""
        said = f"retracted {self.retracted_at:%Y-%m-%d} by {self.retracted_by}{why}"
        if self.restored_at is None:
            return said
        again = f": {self.restored_reason}" if self.restored_reason else ""
        return f"{said}; restored {self.restored_at:%Y-%m-%d} by {self.restored_by}{again}"


DECISION = "decided"
"""The key in a memory's payload for the verdict that confirmed or ended it."""


APPROVED = "approved"
"""The key in a memory's payload that says that somebody approved what it rests on."""


@dataclass(frozen=True, slots=True)
class Memory:
    """One derived item of a user's long-term tier, or of a tenant's collective tier.

    contested: its rival values, in order, if nothing decides between them and this one; see
        `memory.beliefs.consolidation.timeline`.
    retraction: the retraction that ended it, or None; only `history()` and `explain()` set it.
    origin: of its least trusted evidence; None for what was made before origins were kept.
    """

    id: int
    tier: Tier
    kind: MemoryKind
    text: str
    occurred_at: datetime
    provenance: Provenance
    attribute: str | None = None
    value: str | None = None
    subject: str | None = None
    context: str | None = None
    single_valued: bool = False
    agent: str | None = None
    session: str | None = None
    confidence: float = 1.0
    importance: float = 0.5
    support: int = 1
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    believed_from: datetime | None = None
    believed_to: datetime | None = None
    supersedes: int | None = None
    contested: tuple[str, ...] = ()
    retraction: Retraction | None = None
    payload: Mapping[str, Any] = field(default_factory=dict)
    origin: Origin | None = None

    @property
    def trust(self) -> Trust | None:
        """How far its origin is trusted; None if the origin is not known."""
        return trust_of(self.origin)

    @property
    def approved(self) -> bool:
        """Whether it is believed because somebody approved a proposal."""
        return bool(self.payload.get(APPROVED))

    def __str__(self) -> str:
        since = f"{self.valid_from:%Y-%m-%d}" if self.valid_from else "?"
        until = f" to {self.valid_to:%Y-%m-%d}" if self.valid_to else ""
        text = " ".join(self.text.split())
        whose = f"from {self.origin}, approved" if self.approved else ""
        retracted = self.retraction and str(self.retraction)
        notes = [note for note in (whose, self.disputed, retracted) if note]
        return f"[{self.id}] {self.kind}: {text} ({'; '.join([since + until, *notes])})"

    @property
    def disputed(self) -> str:
        """The values it conflicts with, as text for readers; '' if there are none."""
        return f"disputed: {', '.join(self.contested)}" if self.contested else ""

    @property
    def decided(self) -> str:
        """The verdict on a conflict that it was in, and the model behind it; '' without one."""
        made = self.payload.get(DECISION)
        if not made:
            return ""
        holds = ", ".join(made["holds"])
        maker = f"model {made['model']}, prompt {made['prompt']} {made['prompt_version']}"
        return f"decided by {made['by']}, {maker}: {holds}"


@dataclass(frozen=True, slots=True)
class RecalledMemory:
    """A memory with its rank score, and the interactions it cites.

    sources: the systems that recorded these interactions, in alphabetical order.
    """

    memory: Memory
    score: float
    citations: tuple[str, ...]
    tokens: int
    signals: Mapping[str, float] = field(default_factory=dict)
    sources: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.score:6.2f}  {self.memory}"


@dataclass(frozen=True, slots=True)
class Recall:
    """Ranked memories, best first, and how much of the user's log the answer reflects.

    position: the end of the user's log at the time of the answer.
    extracted: the position up to which extraction had come; 0 if a past was asked for.
    fresh: False if the answer does not reflect the interaction given as `after`.
    waited: seconds spent waiting for it.
    as_of, believed_at: the point in time that was asked for, if any.
    """

    query: str
    items: Sequence[RecalledMemory]
    position: int
    as_of: datetime | None = None
    believed_at: datetime | None = None
    extracted: int = 0
    fresh: bool = True
    waited: float = 0.0

    def __iter__(self) -> Iterator[RecalledMemory]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __str__(self) -> str:
        past = [
            f", {name} {moment:%Y-%m-%d %H:%M}"
            for name, moment in (("as of", self.as_of), ("believed at", self.believed_at))
            if moment
        ]
        place = f"position {self.position}, extracted {self.extracted}{''.join(past)}"
        many = "1 memory" if len(self.items) == 1 else f"{len(self.items)} memories"
        head = f"{many} for {self.query!r} ({place})"
        return "\n".join([head, *(str(item) for item in self.items)])


def _whence(evidence: Evidence) -> str:
    known = [part for part in (evidence.origin, evidence.source) if part]
    return evidence.interaction_id + (f" ({', '.join(known)})" if known else "")


@dataclass(frozen=True, slots=True)
class Explanation:
    """The origin of a memory: its evidence, its provenance, and what it replaced.

    retractions: of the interactions it rests on or rested on, in the order they were made.
    """

    memory: Memory
    evidence: tuple[Evidence, ...]
    supersedes: Memory | None = None
    superseded_by: Memory | None = None
    retractions: tuple[Retraction, ...] = ()

    def __str__(self) -> str:
        made = self.memory.provenance
        lines = [str(self.memory), f"  made by {made.extractor} {made.extractor_version}"]
        if made.model:
            lines.append(f"  model {made.model}, prompt {made.prompt} {made.prompt_version}")
        if self.memory.decided:
            lines.append(f"  {self.memory.decided}")
        lines += [
            f"  {e.stance} {e.occurred_at:%Y-%m-%d} {_whence(e)}: “{' '.join(e.quote.split())}”"
            for e in self.evidence
        ]
        lines += [f"  {r.interaction_id} {r}" for r in self.retractions]
        if self.supersedes:
            lines.append(f"  replaced {self.supersedes}")
        if self.superseded_by:
            lines.append(f"  replaced by {self.superseded_by}")
        return "\n".join(lines)
