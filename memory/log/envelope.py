"""The envelope: one interaction as JSON on the bus, and the only gate into the log.

Every interaction (from a client's `record()`, a line of a file, or a message of a topic) passes
`validated` before it is written. So the limits stated here hold for every row of the log.
"""

import hashlib
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import AfterValidator, Field, ValidationError

from memory.errors import InteractionTooLarge, InvalidInteraction, NaiveTime
from memory.log.fields import FIELDS, NAMED, VERSION, EnvelopeFields, values_of
from memory.log.plain_json import (
    check_size,
    cut,
    refusal,
    shown,
    sized,
    written_object,
)
from memory.models import (
    MAX_NAME_CHARACTERS,
    Interaction,
    InteractionKind,
    Role,
    Scope,
    at_offset,
    aware,
    fault_of,
    name_fault,
    offset_minutes,
)

MAX_CONTENT_BYTES = 262_144  # of `content` in UTF-8
MAX_AHEAD = timedelta(days=1)
"""How far ahead of the clock a message of a topic may have occurred: producers' clocks differ."""

MAX_DAYS_AHEAD = 3_653
"""Ten years: how far ahead an app may place what it records, as when it plays a plan through."""

# The longest envelope within the limits above: every byte of text escaped as \uXXXX, and room.
MAX_ENVELOPE_BYTES = 4 * 1024 * 1024

_NAMES = ("v", *(field.name for field in FIELDS))
_NAMED = tuple((field.name, field.optional) for field in NAMED)
_values_of, _names_of = values_of(FIELDS), values_of(NAMED)

_LIKE_A_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,39}")

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)  # json.dumps makes one a call

_Choice = TypeVar("_Choice", InteractionKind, Role)

_scope = lru_cache(maxsize=4096)(Scope)  # whose names are checked each time one is made


def _usable(name: str) -> str:
    if fault := fault_of(name):
        raise ValueError(fault)
    return name


Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARACTERS), AfterValidator(_usable)]


class Incoming(NamedTuple):
    """A valid interaction on its way into the log.

    `payload` is its payload as canonical JSON, and `content_hash` the result of `content_hash`.
    """

    interaction: Interaction
    payload: str
    content_hash: bytes

    @property
    def key(self) -> tuple[str, str, str]:
        """The user and the interaction id."""
        scope = self.interaction.scope
        return (scope.tenant, scope.user, self.interaction.id)


class Envelope(EnvelopeFields[Name]):
    """Version 1 of an interaction on the bus, as JSON.

    Times are ISO 8601 with a zone; `payload` is a JSON object; `private` lets only the agent that
    recorded the interaction see what is derived from it. A whole number written with a fraction
    (`4.0`) is read as the integer: JSON does not distinguish the two, so an id that another sender
    delivers again must not look changed.

    The model holds the schema; `from_json` also holds the limits.
    """


_ReadName = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARACTERS)]


class _ReadEnvelope(EnvelopeFields[_ReadName]):
    """An envelope of JSON that escapes no NUL: it has none, and JSON no half surrogate pairs."""


def _carried(envelope: Envelope | _ReadEnvelope) -> tuple[Interaction, str]:
    """The interaction, and its payload as canonical JSON; the schema has seen to the names."""
    fields = envelope.__dict__.copy()
    del fields["v"]
    for field, _ in _NAMED:
        if (name := fields[field]) is not None:
            _check_name(field, name)
    fields["occurred_at"] = _at_fixed_offset(envelope.occurred_at)
    if envelope.private:
        _check_privacy(envelope.id, envelope.agent, private=True)
    fields["payload"], written = written_object(envelope.payload, "payload")
    _check_content(envelope.content, alone=not fields["payload"])
    take = fields.pop
    scope = _scope(take("tenant"), take("user"), take("agent"), take("session"))
    return Interaction(scope, **fields), written


def validated(interaction: Interaction) -> Interaction:
    """Returns `interaction` as the log will hold it: its payload is a plain JSON object.

    The time keeps the sender's offset from UTC, in whole minutes.

    Content and payload must not both be empty; blank content counts as empty. No text may hold a
    NUL or half of a surrogate pair, which Postgres cannot store, and no name a control character.
    Validating the result again returns it unchanged.

    Raises:
        NaiveTime: `occurred_at` has no zone.
        InteractionTooLarge: content over MAX_CONTENT_BYTES or payload over MAX_PAYLOAD_BYTES.
        InvalidInteraction: anything else; the message names the field and the value.
        InvalidScope: the scope names no session.
    """
    return _sound(interaction)[0]


def incoming(interaction: Interaction) -> Incoming:
    """Returns the validated `interaction` ready for the log.

    Raises:
        InvalidInput: as `validated`.
    """
    return _incoming(*_sound(interaction))


def _incoming(sound: Interaction, payload: str) -> Incoming:
    return Incoming(sound, payload, _hashed(sound, payload))


def _sound(interaction: Interaction) -> tuple[Interaction, str]:
    """Validates as `validated`; also returns the payload as canonical JSON."""
    _check_names(interaction)
    payload, written = written_object(interaction.payload, "payload")
    _check_content(interaction.content, alone=not payload)
    kind = _member(InteractionKind, "kind", interaction.kind)
    role = _member(Role, "role", interaction.role)
    occurred_at = _at_fixed_offset(interaction.occurred_at)
    if (
        not payload
        and kind is interaction.kind
        and role is interaction.role
        and occurred_at is interaction.occurred_at
    ):
        return interaction, written  # sound as it is, as most are: a copy costs more than checks
    sound = replace(interaction, kind=kind, role=role, occurred_at=occurred_at, payload=payload)
    return sound, written


def from_json(raw: str | bytes) -> Interaction:
    """Reads one JSON envelope; `to_json` writes it back.

    Raises:
        NaiveTime, InteractionTooLarge, InvalidInteraction: as `validated`.
    """
    return _carried(_read(raw))[0]


def incoming_from_json(raw: str | bytes) -> Incoming:
    """As `from_json`, ready for the log."""
    return _incoming(*_carried(_read(raw)))


def _read(raw: str | bytes) -> Envelope | _ReadEnvelope:
    if len(raw) > MAX_ENVELOPE_BYTES:
        raise InteractionTooLarge(
            f"envelope has {len(raw):,} bytes, the limit is {MAX_ENVELOPE_BYTES:,}"
        )
    try:
        return (Envelope if _escapes_nul(raw) else _ReadEnvelope).model_validate_json(raw)
    except ValidationError as error:
        raise _refusal(error) from error


def _escapes_nul(raw: str | bytes) -> bool:
    return "\\u0000" in raw if isinstance(raw, str) else b"\\u0000" in raw


def to_json(interaction: Interaction) -> str:
    """Returns the envelope of a valid interaction on one line, without an absent agent or actor.

    Ordinal, position and `recorded_at` belong to one log and are not part of it.

    Raises:
        InvalidInput: as `validated`.
    """
    sound = validated(interaction)
    fields = zip(_NAMES, (VERSION, *_values_of(sound)), strict=True)
    present = {name: value for name, value in fields if value is not None}
    present["occurred_at"] = _iso(sound.occurred_at)
    return _ENCODER.encode(present)


def content_hash(interaction: Interaction) -> bytes:
    """Returns the SHA-256 of the event itself, 32 bytes; equal for equal content under one id.

    Session, agent, kind, role, actor, content, payload and `private` count. The sender (`source`),
    the place in the log and the order of a payload's keys do not. Neither does `occurred_at`: a
    sender that stamps the time as it sends must be able to send again after a failure, and the log
    keeps the first time.

    Raises:
        InvalidInteraction: a payload that is not JSON.
    """
    return _hashed(interaction, written_object(interaction.payload, "payload")[1])


def _hashed(interaction: Interaction, payload: str) -> bytes:
    """The hash of the canonical JSON of an array, which is quicker written out than encoded.

    The log holds such hashes, so these eight stay. A field that is to count as well may do so only
    where it is set.
    """
    scope, actor = interaction.scope, interaction.actor
    text = (
        f"[{encode_basestring(scope.session or scope.require_session())},"
        f"{'null' if scope.agent is None else encode_basestring(scope.agent)},"
        f"{encode_basestring(interaction.kind)},{encode_basestring(interaction.role)},"
        f"{'null' if actor is None else encode_basestring(actor)},"
        f"{encode_basestring(interaction.content)},"
        f"{payload},{'true' if interaction.private else 'false'}]"
    )
    return hashlib.sha256(text.encode()).digest()


def _check_names(interaction: Interaction) -> None:
    scope = interaction.scope
    if scope.session is None:
        scope.require_session()
    for (field, optional), name in zip(_NAMED, _names_of(interaction), strict=True):
        if name is None and optional:
            continue
        if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME_CHARACTERS:
            raise refusal(f"{field} must be 1 to {MAX_NAME_CHARACTERS} characters", name)
        _check_name(field, name)
    _check_privacy(interaction.id, scope.agent, private=interaction.private)


def _check_name(field: str, name: str) -> None:
    if not name.isprintable() and (fault := name_fault(name)):
        raise refusal(f"{field} {fault}", name)


def _check_privacy(interaction_id: str, agent: str | None, *, private: object) -> None:
    if not isinstance(private, bool):
        raise refusal("private must be true or false", private)
    if private and agent is None:
        raise InvalidInteraction(f"private needs an agent; interaction {interaction_id!r} has none")


def _check_content(content: object, *, alone: bool) -> None:
    if not isinstance(content, str):
        raise refusal("content must be text", content)
    if alone and (not content or content.isspace()):
        raise refusal("content is empty and so is payload", content)
    if fault := fault_of(content):
        raise refusal(f"content {fault}", content)
    size = len(content) if content.isascii() else len(content.encode())
    check_size("content", size, MAX_CONTENT_BYTES)


def _member(choices: type[_Choice], field: str, value: object) -> _Choice:
    if isinstance(value, choices):
        return value
    if isinstance(value, str) and value in set(choices):
        return choices(value)
    raise refusal(f"{field} must be one of {', '.join(choices)}", value)


def _at_fixed_offset(moment: object) -> datetime:
    """The same moment, with the sender's offset in whole minutes and no rules of a zone."""
    if not isinstance(moment, datetime):
        raise refusal("occurred_at must be a datetime", moment)
    if moment.tzinfo is UTC:
        return moment
    in_utc = aware(moment, "occurred_at")
    minutes = offset_minutes(moment)
    return at_offset(in_utc, minutes) if minutes else in_utc


def check_not_ahead(interaction: Interaction) -> None:
    """Raises InvalidInteraction if an interaction occurred more than `MAX_DAYS_AHEAD` from now."""
    moment: Any = interaction.occurred_at
    # Anything but an aware time is refused by `validated`.
    known = isinstance(moment, datetime) and moment.utcoffset() is not None
    if known and aware(moment, "occurred_at") > datetime.now(UTC) + timedelta(days=MAX_DAYS_AHEAD):
        raise InvalidInteraction(
            f"occurred_at must be at most {MAX_DAYS_AHEAD:,} days ahead of the clock,"
            f" got {moment.isoformat()!r}"
        )


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _refusal(error: ValidationError) -> InvalidInteraction:
    # Another version explains every other fault, so it is the one to name.
    faults = sorted(error.errors(include_url=False), key=lambda fault: fault["loc"] != ("v",))
    first = faults[0]
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    naive = first["type"] == "timezone_aware"
    reason = "needs a time zone" if naive else first["msg"].removeprefix("Value error, ")
    said = f" {reason}" if naive else f": {reason}"
    steps = [str(step) for step in first["loc"]] or ["envelope"]
    value = first["input"]
    return (NaiveTime if naive else InvalidInteraction)(
        f"{cut('.'.join(steps))}{said}, got {shown(value)}{more}",
        f"{_public_name(steps[0])}{said}, got {sized(value)}{more}",
    )


def _public_name(field: str) -> str:
    """A field's name, unless it is so unlike one that it may be what somebody wrote."""
    return field if _LIKE_A_NAME.fullmatch(field) else f"a field of {len(field):,} characters"
