"""The envelope: one interaction as it travels on the bus, and the only gate into the log.

Whatever brings an interaction (a client's `record()`, a line of a file, a message of a topic), it
passes `validated` before it is written. So the limits stated here hold for every row of the log.
"""

import hashlib
import json
import reprlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
)

from memory.errors import InteractionTooLarge, InvalidInteraction, NaiveTime
from memory.models import MAX_NAME_CHARACTERS, Interaction, InteractionKind, Role, Scope, aware

VERSION: Literal[1] = 1
MAX_CONTENT_BYTES = 262_144  # of `content` in UTF-8
MAX_PAYLOAD_BYTES = 262_144  # of `payload` as canonical JSON
MAX_PAYLOAD_DEPTH = 64  # objects and arrays inside each other, the payload itself included
# The longest envelope within the limits above: every byte of text escaped as \uXXXX, and room.
MAX_ENVELOPE_BYTES = 4 * 1024 * 1024

_Choice = TypeVar("_Choice", InteractionKind, Role)

_EXACT_INTEGERS = 2**53  # below it every whole float is exactly the integer it prints as

_SHOWN = 80  # characters of a value in a message
_brief = reprlib.Repr()  # keeps huge values from being written out just to be cut
_brief.maxstring = _brief.maxother = _brief.maxlong = _SHOWN

# Made once: json.dumps makes an encoder for each call.
_CANONICAL = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
)


def _usable(name: str) -> str:
    if fault := _fault_of(name):
        raise ValueError(fault)
    return name


def _known(version: object) -> object:
    if type(version) is not int or version != VERSION:  # true and 1.0 would equal the literal 1
        raise ValueError(f"must be {VERSION}, the version this release reads")
    return version


def _written_out(moment: object) -> object:
    # pydantic would read a number, also one in a string, as seconds since 1970.
    if isinstance(moment, datetime) or (isinstance(moment, str) and moment[4:5] == "-"):
        return moment
    raise ValueError("must be an ISO 8601 date and time with a zone")


Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARACTERS), AfterValidator(_usable)]


class Envelope(BaseModel):
    """Version 1 of an interaction on the bus, as JSON.

    Times are ISO 8601 with a zone; `payload` is a JSON object; `private` keeps what is derived
    from the interaction to the agent that recorded it. A whole number written with a fraction
    (`4.0`) is read as the integer: JSON does not tell the two apart, so an id redelivered by
    another sender must not look changed.

    The model holds the schema; `interaction()` and `from_json` also hold the limits.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    v: Annotated[Literal[1], BeforeValidator(_known)] = VERSION
    id: Name
    tenant: Name
    user: Name
    agent: Name | None = None
    session: Name
    kind: InteractionKind = InteractionKind.MESSAGE
    role: Role = Role.USER
    actor: Name | None = None
    content: str = ""
    payload: dict[str, JsonValue] = Field(default_factory=dict)
    occurred_at: Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_written_out)]
    source: Name = "client"
    private: bool = False

    def interaction(self) -> Interaction:
        """The interaction this envelope carries; not yet in the log, so without a position.

        Raises:
            InteractionTooLarge, InvalidInteraction: as `validated`.
        """
        carried = Interaction(
            scope=Scope(self.tenant, self.user, self.agent, self.session),
            id=self.id,
            kind=self.kind,
            role=self.role,
            content=self.content,
            occurred_at=_in_utc(self.occurred_at),
            payload=self.payload,
            actor=self.actor,
            private=self.private,
            source=self.source,
        )
        _check_privacy(carried)
        return _within_limits(carried)  # the schema has seen to the names


def validated(interaction: Interaction) -> Interaction:
    """`interaction` as the log will hold it: its time in UTC, its payload a plain JSON object.

    Content and payload must not both be empty; blank content counts as empty. No text holds a NUL
    or half of a surrogate pair, which Postgres cannot store. `validated` of its own result is that
    result.

    Raises:
        NaiveTime: `occurred_at` has no zone.
        InteractionTooLarge: content over MAX_CONTENT_BYTES or payload over MAX_PAYLOAD_BYTES.
        InvalidInteraction: anything else; the message names the field and the value.
        InvalidScope: the scope names no session.
    """
    _check_names(interaction)
    return _within_limits(interaction)


def _within_limits(interaction: Interaction) -> Interaction:
    """As `validated`, of an interaction whose names are sound."""
    payload = _plain_payload(interaction.payload)
    _check_content(interaction.content, alone=not payload)
    kind = _member(InteractionKind, "kind", interaction.kind)
    role = _member(Role, "role", interaction.role)
    occurred_at = _in_utc(interaction.occurred_at)
    if (
        not payload
        and kind is interaction.kind
        and role is interaction.role
        and occurred_at is interaction.occurred_at
    ):
        return interaction  # most messages are sound as they are; a copy costs more than the checks
    return replace(interaction, kind=kind, role=role, occurred_at=occurred_at, payload=payload)


def from_json(raw: str | bytes) -> Interaction:
    """The interaction in one JSON envelope; `to_json` of it reads back equal.

    Raises:
        NaiveTime, InteractionTooLarge, InvalidInteraction: as `validated`.
    """
    if len(raw) > MAX_ENVELOPE_BYTES:
        raise InteractionTooLarge(
            f"envelope has {len(raw):,} bytes, the limit is {MAX_ENVELOPE_BYTES:,}"
        )
    try:
        envelope = Envelope.model_validate_json(raw)
    except ValidationError as error:
        raise _refusal(error) from error
    return envelope.interaction()


def to_json(interaction: Interaction) -> str:
    """The envelope of a valid interaction on one line; absent agent and actor are left out.

    Ordinal, position and `recorded_at` belong to one log and do not travel.

    Raises:
        InvalidInput: as `validated`.
    """
    sound = validated(interaction)
    fields = {
        "v": VERSION,
        "id": sound.id,
        "tenant": sound.scope.tenant,
        "user": sound.scope.user,
        "agent": sound.scope.agent,
        "session": sound.session,
        "kind": sound.kind,
        "role": sound.role,
        "actor": sound.actor,
        "content": sound.content,
        "payload": sound.payload,
        "occurred_at": _iso(sound.occurred_at),
        "source": sound.source,
        "private": sound.private,
    }
    present = {name: value for name, value in fields.items() if value is not None}
    return json.dumps(present, ensure_ascii=False, allow_nan=False)


def content_hash(interaction: Interaction) -> bytes:
    """SHA-256 of what makes the event itself, 32 bytes; equal for equal content under one id.

    Session, agent, kind, role, actor, content, payload and `private` count; who delivered it
    (`source`) and where the log put it do not, nor does the order of a payload's keys. Neither
    does `occurred_at`: a sender that stamps the time as it sends must be able to send again after
    a failure, and the log keeps the time it learned first.

    Raises:
        InvalidInteraction: a payload that is not JSON.
    """
    parts = [
        interaction.session,
        interaction.scope.agent,
        interaction.kind,
        interaction.role,
        interaction.actor,
        interaction.content,
        _plain_payload(interaction.payload),
        interaction.private,
    ]
    return hashlib.sha256(_canonical_json(parts).encode()).digest()


def _check_names(interaction: Interaction) -> None:
    scope = interaction.scope
    for field, name in (
        ("id", interaction.id),
        ("session", interaction.session),
        ("tenant", scope.tenant),
        ("user", scope.user),
        ("source", interaction.source),
    ):
        _check_name(field, name)
    if scope.agent is not None:
        _check_name("agent", scope.agent)
    if interaction.actor is not None:
        _check_name("actor", interaction.actor)
    _check_privacy(interaction)


def _check_privacy(interaction: Interaction) -> None:
    if not isinstance(interaction.private, bool):
        raise InvalidInteraction(f"private must be true or false, got {interaction.private!r}")
    if interaction.private and interaction.scope.agent is None:
        raise InvalidInteraction(f"private to whom? interaction {interaction.id!r} has no agent")


def _check_name(field: str, name: object) -> None:
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME_CHARACTERS:
        raise InvalidInteraction(
            f"{field} must be 1 to {MAX_NAME_CHARACTERS} characters, got {_shown(name)}"
        )
    if fault := _fault_of(name):
        raise InvalidInteraction(f"{field} {fault}, got {_shown(name)}")


def _check_content(content: object, *, alone: bool) -> None:
    if not isinstance(content, str):
        raise InvalidInteraction(f"content must be text, got {_shown(content)}")
    if alone and (not content or content.isspace()):
        raise InvalidInteraction(
            f"content is empty and so is payload, got content {_shown(content)}"
        )
    if fault := _fault_of(content):
        raise InvalidInteraction(f"content {fault}, got {_shown(content)}")
    size = len(content) if content.isascii() else len(content.encode())
    _check_size("content", size, MAX_CONTENT_BYTES)


def _check_size(field: str, size: int, limit: int) -> None:
    if size > limit:
        raise InteractionTooLarge(f"{field} has {size:,} bytes, the limit is {limit:,}")


def _fault_of(text: str) -> str | None:
    """Why Postgres could not store `text`; None when it can."""
    if "\x00" in text:
        return f"holds a NUL character at {text.index(chr(0))}"
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            return f"holds half of a surrogate pair at {error.start}"
    return None


def _member(choices: type[_Choice], field: str, value: str) -> _Choice:
    try:
        return choices(value)
    except ValueError:
        raise InvalidInteraction(
            f"{field} must be one of {', '.join(choices)}, got {_shown(value)}"
        ) from None


def _in_utc(moment: object) -> datetime:
    if not isinstance(moment, datetime):
        raise InvalidInteraction(f"occurred_at must be a datetime, got {_shown(moment)}")
    if moment.tzinfo is UTC:
        return moment
    try:
        return aware(moment, "occurred_at")
    except OverflowError:
        raise InvalidInteraction(
            f"occurred_at must lie in the years 1 to 9999 of UTC, got {moment.isoformat()!r}"
        ) from None


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _plain_payload(payload: object) -> dict[str, Any]:
    return plain_object(payload, "payload")


def plain_object(value: object, place: str) -> dict[str, Any]:
    """`value` as dicts, lists and scalars of JSON, copied; within the limits of a payload.

    Raises:
        InteractionTooLarge, InvalidInteraction: naming what is wrong, and where, from `place` on.
    """
    if not isinstance(value, Mapping):
        raise InvalidInteraction(f"{place} must be a JSON object, got {_shown(value)}")
    if not value:
        return {}
    plain = _plain_object(value, place, 1)
    _check_size(place, len(_canonical_json(plain).encode()), MAX_PAYLOAD_BYTES)
    return plain


def _plain_object(value: Mapping[Any, Any], place: str, depth: int) -> dict[str, Any]:
    plain = {}
    for key, item in value.items():
        if not isinstance(key, str):
            raise InvalidInteraction(f"{_cut(place)} must have text keys, got {_shown(key)}")
        if fault := _fault_of(key):
            raise InvalidInteraction(f"a key of {_cut(place)} {fault}, got {_shown(key)}")
        plain[key] = _plain(item, f"{place}.{key}", depth)
    return plain


def _plain(value: object, place: str, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if fault := _fault_of(value):
            raise InvalidInteraction(f"{_cut(place)} {fault}, got {_shown(value)}")
        return str.__str__(value)  # an enum's member becomes its plain text
    if isinstance(value, int | float):
        return _plain_number(value, place)
    if isinstance(value, Mapping | list | tuple):
        if depth >= MAX_PAYLOAD_DEPTH:
            raise InvalidInteraction(
                f"payload is nested deeper than {MAX_PAYLOAD_DEPTH} levels, "
                f"got {_shown(value)} at {_cut(place)}"
            )
        if isinstance(value, Mapping):
            return _plain_object(value, place, depth + 1)
        return [_plain(item, f"{place}[{n}]", depth + 1) for n, item in enumerate(value)]
    raise InvalidInteraction(f"{_cut(place)} must be a JSON value, got {_shown(value)}")


def _plain_number(number: float, place: str) -> float:
    """`number` as Postgres' jsonb hands it back: whole floats are the integers they print as."""
    if isinstance(number, int):
        if number.bit_length() > 1024:  # noqa: PLR2004 - a double's range, as RFC 8259 advises
            raise InvalidInteraction(f"{_cut(place)} must fit a double, got {_shown(number)}")
        return int(number)
    if number - number != 0:  # NaN or infinite
        raise InvalidInteraction(f"{_cut(place)} must be a finite number, got {number!r}")
    if not number.is_integer():
        return float(number)
    return int(number) if abs(number) < _EXACT_INTEGERS else int(Decimal(repr(number)))


def _shown(value: object) -> str:
    return _cut(_brief.repr(value))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _canonical_json(value: object) -> str:
    """One text for equal JSON values: keys sorted, no spaces, no escapes but the needed."""
    return _CANONICAL.encode(value)


def _refusal(error: ValidationError) -> InvalidInteraction:
    first, *others = error.errors(include_url=False)
    place = _cut(".".join(str(step) for step in first["loc"]) or "envelope")
    reason = first["msg"].removeprefix("Value error, ")
    more = f" (and {len(others)} more)" if others else ""
    value = _shown(first["input"])
    if first["type"] == "timezone_aware":
        return NaiveTime(f"{place} needs a time zone, got {value}{more}")
    return InvalidInteraction(f"{place}: {reason}, got {value}{more}")
