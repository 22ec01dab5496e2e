"""The vocabulary: frozen values that every step of the walk passes on.

All times are aware; what is read back from the store is in UTC.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Literal, Self

from pydantic import TypeAdapter, ValidationError

from memory.errors import InvalidInput, InvalidScope, NaiveTime

MAX_NAME_CHARACTERS = 200
"""Of a tenant, user, agent, session, id, actor or source."""


class Tier(StrEnum):
    """Whose knowledge an item is, and how long it is kept."""

    WORKING = "working"
    LONG_TERM = "long_term"
    COLLECTIVE = "collective"


class MemoryKind(StrEnum):
    """What sort of knowledge a memory is."""

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
    """

    section: Literal["profile", "workflows", "episodes"]
    verbatim: bool = False
    publishable: bool = False
    governs: bool = False


KIND_TRAITS: Mapping[MemoryKind, KindTraits] = MappingProxyType(
    {
        MemoryKind.EPISODE: KindTraits("episodes", verbatim=True),
        MemoryKind.FACT: KindTraits("profile", publishable=True),
        MemoryKind.PREFERENCE: KindTraits("profile", publishable=True, governs=True),
        MemoryKind.PROCEDURE: KindTraits("workflows", publishable=True),
        MemoryKind.SUMMARY: KindTraits("episodes", verbatim=True),
    }
)
"""One row a kind. No other module asks for a kind by name to treat it differently."""

VERBATIM_KINDS = tuple(kind for kind, traits in KIND_TRAITS.items() if traits.verbatim)
PUBLISHABLE_KINDS = tuple(kind for kind, traits in KIND_TRAITS.items() if traits.publishable)


class InteractionKind(StrEnum):
    """What happened between agent and user."""

    MESSAGE = "message"
    TOOL_CALL = "tool_call"
    TOOL_RESULT = "tool_result"
    RETRIEVAL = "retrieval"
    FEEDBACK = "feedback"
    MODEL_CALL = "model_call"


class Role(StrEnum):
    """Who acted."""

    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"
    TOOL = "tool"


class ModelTask(StrEnum):
    """What a language model is asked for."""

    EXTRACT = "extract"
    CONSOLIDATE = "consolidate"
    SUMMARISE = "summarise"


class Stance(StrEnum):
    """Whether evidence speaks for a memory or against it."""

    SUPPORTS = "supports"
    CONTRADICTS = "contradicts"


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose memory: a tenant's user, and optionally one agent and one session.

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
        """The same scope, narrowed to one session."""
        return replace(self, session=session)

    def require_session(self) -> str:
        """The session, or InvalidScope when the scope names none."""
        if self.session is None:
            raise InvalidScope(f"this call needs a session: {self!r}; use scope.in_session(...)")
        return self.session


def _check_name(part: str, value: object) -> None:
    text = value if isinstance(value, str) else ""
    if not 0 < len(text) <= MAX_NAME_CHARACTERS or "\x00" in text:
        raise InvalidScope(
            f"{part} must be 1 to {MAX_NAME_CHARACTERS} characters without NUL, got {value!r}"
        )


def aware(moment: datetime, what: str = "time") -> datetime:
    """`moment` in UTC; raises NaiveTime when it has no zone."""
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise NaiveTime(f"{what} needs a time zone, got {moment.isoformat()!r}")
    return moment.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Interaction:
    """One immutable event between agent and user.

    `actor` is the display name of who acted where a conversation has more than one person on a
    side. `position` counts the user's interactions from 1 in the order they were recorded,
    `ordinal` those of the session; both are 0 until the interaction is in the log.
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
    def session(self) -> str:
        """The session this interaction belongs to."""
        return self.scope.require_session()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message stands on the bus: an offset in a partition of one topic.

    The ids tell a topic from another one that came to have its name. `offset` is -1 where the
    broker did not say which.
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
    """What `record()` promises: the interaction is in the log, or durable on its way there.

    On its way it has a `place` on the bus, and `ordinal` and `position` are 0. `duplicate` is true
    where the id was already in the log with the same content.
    """

    interaction_id: str
    session: str
    ordinal: int
    position: int
    duplicate: bool = False
    place: Place | None = None

    def json(self) -> str:
        """The receipt as text, to hand to another process; `from_json` reads it back equal."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The receipt that `json()` wrote.

        Raises:
            InvalidInput: `text` is no receipt.
        """
        try:
            return TypeAdapter(cls).validate_json(text, strict=True)
        except ValidationError as error:
            raise InvalidInput(f"not a receipt: {text[:80]!r}") from error


@dataclass(frozen=True, slots=True)
class Evidence:
    """A span of one interaction that speaks for or against a memory.

    `start` and `end` are character offsets into the interaction's content, end exclusive;
    `quote` is exactly that slice.
    """

    interaction_id: str
    quote: str
    start: int
    end: int
    occurred_at: datetime
    stance: Stance = Stance.SUPPORTS


@dataclass(frozen=True, slots=True)
class Provenance:
    """What made a memory."""

    extractor: str
    extractor_version: str
    prompt: str | None = None
    prompt_version: str | None = None
    prompt_hash: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """What an extractor proposes, before consolidation.

    attribute, value: a normalised pair (`lives_in`, `munich`) by which beliefs meet; None for
        free text such as episodes, which meets nothing but its own repetition.
    subject: whom it is about; None means the user.
    context: a condition under which it holds (`for backend roles`); None means always.
    single_valued: a newer value of the attribute ends the older one.
    stance: CONTRADICTS ends what is believed about (attribute, value), and with value None about
        every value of the attribute.
    confidence, importance: 0 to 1.
    occurred_at: event time of the newest evidence; what orders beliefs.
    valid_from, valid_to: when it holds in the world; default from `occurred_at`, open-ended.
    search_text: words to find it by that are not in its text (dates, names, captions).
    made_by: what made it, where that is not just the extractor that proposes it: with which prompt
        and model, or which other extractor stood in.
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
    """That an interaction stopped to count: from when, who said so, and why; and until when.

    restored_at: None as long as it does not count.
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
"""The key of a memory's payload under which it says which verdict made it hold, or end."""


@dataclass(frozen=True, slots=True)
class Memory:
    """One derived item of a user's long-term tier, or of a tenant's collective tier.

    contested: the values that rival it where nothing decides between them, in order; see
        `memory.beliefs.consolidation.timeline`.
    retraction: what ended it, where that was the retraction of something it rested on; `history()`
        and `explain()` say so.
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

    def __str__(self) -> str:
        since = f"{self.valid_from:%Y-%m-%d}" if self.valid_from else "?"
        until = f" to {self.valid_to:%Y-%m-%d}" if self.valid_to else ""
        text = " ".join(self.text.split())
        notes = [note for note in (self.disputed, self.retraction and str(self.retraction)) if note]
        return f"[{self.id}] {self.kind}: {text} ({'; '.join([since + until, *notes])})"

    @property
    def disputed(self) -> str:
        """The values it conflicts with, worded for readers; '' where there are none."""
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
    """A memory with its rank score and the interactions it cites."""

    memory: Memory
    score: float
    citations: tuple[str, ...]
    tokens: int
    signals: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.score:6.2f}  {self.memory}"


@dataclass(frozen=True, slots=True)
class Recall:
    """Ranked memories, best first, and how much of the user's log the answer reflects.

    position: the log's end as it answered; `extracted`: the place up to which memories reflect it,
        or 0 in a past.
    fresh: whether they reflect what the caller waited for; `waited`: for how many seconds.
    as_of, believed_at: the past that was asked for, if one was.
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


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where a memory comes from: its evidence, what made it, and what it replaced.

    retractions: of interactions it rests on, or rested on, in the order they were made.
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
            f"  {e.stance} {e.occurred_at:%Y-%m-%d} {e.interaction_id}: “{e.quote}”"
            for e in self.evidence
        ]
        lines += [f"  {r.interaction_id} {r}" for r in self.retractions]
        if self.supersedes:
            lines.append(f"  replaced {self.supersedes}")
        if self.superseded_by:
            lines.append(f"  replaced by {self.superseded_by}")
        return "\n".join(lines)
