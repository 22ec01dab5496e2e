"""The fields of the envelope, each declared once: on the wire, in an `Interaction` and in the log.

What passes through all fields reads them from here: the envelope's JSON and checks, the parameters
and rows of the log's statements, the rows that ingestion copies, the names in a mapping file. The
columns stand once more in `sql/columns.sql`, and a test holds the two together.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar, get_args

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

from memory.models import Interaction, InteractionKind, Role

VERSION: Literal[1] = 1


@dataclass(frozen=True, slots=True)
class Stored:
    """Where a field of the envelope goes.

    column: of `interactions`.
    scope: whether it is an attribute of the interaction's scope, not of the interaction itself.
    identity: whether it is part of the event, so that `content_hash` counts it.
    says: what it is, for whoever writes envelopes.
    """

    column: str
    scope: bool = False
    identity: bool = False
    says: str = ""


def _known(version: object) -> object:
    if type(version) is not int or version != VERSION:  # true and 1.0 would equal the literal 1
        raise ValueError(f"must be {VERSION}, the version this release reads")
    return version


def _written_out(moment: object) -> object:
    # pydantic would read a number, also one in a string, as seconds since 1970.
    if isinstance(moment, datetime) or (isinstance(moment, str) and moment[4:5] == "-"):
        return moment
    raise ValueError("must be an ISO 8601 date and time with a zone")


NameT = TypeVar("NameT", bound=str)
"""How a name is checked as it is read."""


class EnvelopeFields(BaseModel, Generic[NameT]):
    """The fields in the order in which the envelope's JSON has them."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    v: Annotated[Literal[1], BeforeValidator(_known)] = VERSION
    id: Annotated[
        NameT,
        Stored(
            "interaction_id",
            says="Unique among the user's interactions; an id that comes again is applied once.",
        ),
    ]
    tenant: Annotated[
        NameT, Stored("tenant_id", scope=True, says="The organisation whose data this is.")
    ]
    user: Annotated[
        NameT, Stored("user_id", scope=True, says="The person whose memory this becomes part of.")
    ]
    agent: Annotated[
        NameT | None,
        Stored("agent_id", scope=True, identity=True, says="The agent that the user spoke to."),
    ] = None
    session: Annotated[
        NameT,
        Stored(
            "session_id",
            scope=True,
            identity=True,
            says="The conversation; its interactions are one sequence.",
        ),
    ]
    kind: Annotated[InteractionKind, Stored("kind", identity=True, says="What happened.")] = (
        InteractionKind.MESSAGE
    )
    role: Annotated[Role, Stored("role", identity=True, says="Who acted.")] = Role.USER
    actor: Annotated[
        NameT | None, Stored("actor", identity=True, says="A name for who acted, such as a tool's.")
    ] = None
    content: Annotated[
        str, Stored("content", identity=True, says="What was said or shown, as text.")
    ] = ""
    payload: Annotated[
        dict[str, JsonValue],
        Stored(
            "payload",
            identity=True,
            says="Anything structured that belongs to it, such as a tool's arguments.",
        ),
    ] = Field(default_factory=dict)
    occurred_at: Annotated[
        AwareDatetime,
        Field(strict=False),
        BeforeValidator(_written_out),
        Stored("occurred_at", says="When it happened: RFC 3339, with a zone."),
    ]
    source: Annotated[NameT, Stored("source", says="The system that sends it.")] = "client"  # type: ignore[assignment]
    private: Annotated[
        bool,
        Stored(
            "private",
            identity=True,
            says="Whether only the agent sees the memories derived from it; needs an agent.",
        ),
    ] = False


class EnvelopeField(NamedTuple):
    """One field, as `EnvelopeFields` declares it; see `Stored`.

    attribute: the path to its value, from an interaction on.
    required: whether it has no default. optional: whether it may be None. named: whether it is a
    name, which has a limit of its own.
    """

    name: str
    column: str
    attribute: str
    identity: bool
    says: str
    required: bool
    optional: bool
    named: bool


def _declared() -> Iterator[EnvelopeField]:
    for name, declared in EnvelopeFields.model_fields.items():
        for stored in declared.metadata:
            if isinstance(stored, Stored):
                yield EnvelopeField(
                    name,
                    stored.column,
                    f"scope.{name}" if stored.scope else name,
                    stored.identity,
                    stored.says,
                    required=declared.is_required(),
                    optional=declared.default is None,
                    named=NameT in (declared.annotation, *get_args(declared.annotation)),
                )


ValuesOf = Callable[[Interaction], tuple[Any, ...]]


def values_of(fields: Sequence[EnvelopeField]) -> ValuesOf:
    """What reads the values of these fields off an interaction, in their order."""
    return attrgetter(*(field.attribute for field in fields))


FIELDS = tuple(_declared())
"""All but the version."""

NAMED = tuple(field for field in FIELDS if field.named)

OWNER = ("tenant", "user")
"""Fields that the log's statements are bound to, and do not list."""

OTHERS = ("payload", "private", "occurred_at", "utc_offset")
"""Columns whose values are no texts: each place makes the form of them that it needs.

`utc_offset` is that of `occurred_at`, in minutes; an envelope has both in one."""

_TEXTUAL = tuple(field for field in FIELDS if field.name not in (*OWNER, *OTHERS))
TEXTS = tuple(field for field in _TEXTUAL if not field.optional)
OPTIONAL = tuple(field for field in _TEXTUAL if field.optional)
"""Fields whose values are texts or None."""

COLUMNS = (*(field.column for field in TEXTS), *OTHERS, *(field.column for field in OPTIONAL))
"""The columns of all but the OWNER, in the order of the list `sent` in `sql/columns.sql`."""
