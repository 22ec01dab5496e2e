"""Mapping files: read a topic whose fields have other names as envelopes.

Each field of the envelope names its place in the messages, or a constant. The models here are the
file's schema, in TOML or JSON.
"""

import json
import tomllib
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from consumers.ingest.records import Reason, Record, Unreadable
from memory.errors import ConfigurationError
from memory.log.fields import FIELDS
from memory.log.plain_json import sized

if TYPE_CHECKING:
    FieldName = str
else:  # what type checkers cannot follow
    FieldName = Literal[tuple(field.name for field in FIELDS)]
_REQUIRED = tuple(field.name for field in FIELDS if field.required)
_NAMES = ("id", "tenant", "user", "session")
_EPOCH = {"epoch_s": 1.0, "epoch_ms": 1e3, "epoch_us": 1e6}  # of each unit in a second
_ABSENT = object()


def _spelled_out(source: object) -> object:
    return {"path": source} if isinstance(source, str) else source


class Source(BaseModel):
    """The source of one field's value: a dotted path into the message, or a constant.

    Paths that begin with @ read the record: `@key`, `@timestamp` (milliseconds), `@place` (topic,
    partition and offset in one text), `@headers.<name>`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Annotated[str, Field(min_length=1)] | None = None
    constant: str | bool | None = None
    default: str | None = Field(
        default=None, description="where the path leads nowhere, or to null"
    )
    values: dict[str, str] | None = Field(
        default=None, description="what each value is called here; others are refused"
    )
    time: str = Field(default="iso", description="iso | epoch_s | epoch_ms | epoch_us | %Y-%m-%d …")
    zone: str = Field(default="UTC", description="of times that name none")

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.path is None) == (self.constant is None):
            raise ValueError("needs either a path or a constant")
        return self

    @field_validator("time")
    @classmethod
    def _known_time(cls, time: str) -> str:
        if time != "iso" and time not in _EPOCH and "%" not in time:
            raise ValueError(f"must be iso, {', '.join(_EPOCH)} or a format such as %Y-%m-%d")
        return time

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (ValueError, OSError, ModuleNotFoundError) as error:
            raise ValueError(f"unknown time zone {zone!r}") from error
        return zone

    def read(self, event: Mapping[str, Any], record: Record, topic: str) -> Any:
        """Returns the value in this message, or `_ABSENT`."""
        if self.constant is not None:
            return self.constant
        found = _of_record(self.path or "", record, topic) or _at(event, self.path or "")
        if found is None or found is _ABSENT:
            return _ABSENT if self.default is None else self.default
        if self.values is None:
            return found
        if (translated := self.values.get(str(found), self.default)) is None:
            known = ", ".join(self.values)
            got = sized(found)
            raise Unreadable(Reason.INVALID, f"{self.path} must be one of {known}, got {got}")
        return translated

    def moment(self, found: object) -> str:
        """Returns a time as the envelope writes it."""
        try:
            return self._moment(found).isoformat()
        except (ValueError, OverflowError, OSError) as error:
            raise Unreadable(
                Reason.INVALID,
                f"{self.path} must be a time in format {self.time}, got {sized(found)}",
            ) from error

    def _moment(self, found: object) -> datetime:
        if self.time in _EPOCH:
            if isinstance(found, bool) or not isinstance(found, int | float | str):
                raise ValueError("not a number")
            return datetime.fromtimestamp(float(found) / _EPOCH[self.time], UTC)
        if not isinstance(found, str):
            raise ValueError("not text")  # noqa: TRY004 - caught above, with all else
        form = self.time
        moment = (
            datetime.fromisoformat(found) if form == "iso" else datetime.strptime(found, form)  # noqa: DTZ007
        )
        return moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(self.zone))


Spelled = Annotated[Source, BeforeValidator(_spelled_out)]


class FieldMapping(BaseModel):
    """The place of each field of the envelope in the messages of another topic.

    `payload` builds the payload from single values; without it, `fields.payload` may name an
    object. `keys` says whether records must have our key; other producers rarely send it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    fields: dict[FieldName, Spelled]
    payload: dict[str, Spelled] = Field(default_factory=dict)
    keys: Literal["any", "ours"] = "any"

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if missing := [name for name in _REQUIRED if name not in self.fields]:
            raise ValueError(f"fields lacks {', '.join(missing)}")
        if not self.payload and not self.fields.keys() & {"content", "payload"}:
            raise ValueError("needs content or a payload")
        if self.payload and "payload" in self.fields:
            raise ValueError("payload is given twice")
        return self

    def fields_of(self, event: Mapping[str, Any], record: Record, topic: str) -> dict[str, Any]:
        """Returns the envelope's fields in one message.

        Raises:
            Unreadable: a value has no translation, or is not a time.
        """
        found: dict[str, Any] = {}
        for name, source in self.fields.items():
            value = source.read(event, record, topic)
            if value is not _ABSENT:
                found[name] = (
                    source.moment(value) if name == "occurred_at" else _fitting(name, value)
                )
        payload = {name: source.read(event, record, topic) for name, source in self.payload.items()}
        if self.payload:
            found["payload"] = {name: v for name, v in payload.items() if v is not _ABSENT}
        return found

    def names_of(self, event: Mapping[str, Any], record: Record, topic: str) -> dict[str, Any]:
        """Returns the owner of a message, as far as it can be read."""
        found: dict[str, Any] = {}
        for name in _NAMES:
            with suppress(Unreadable):
                found[name] = _fitting(name, self.fields[name].read(event, record, topic))
        return found


def read_mapping(path: Path) -> FieldMapping:
    """Reads a mapping from a TOML or JSON file.

    Raises:
        ConfigurationError: it cannot be read, or is not a mapping; the message names the place.
    """
    load: Callable[[str], Any] = json.loads if path.suffix == ".json" else tomllib.loads
    try:
        return FieldMapping.model_validate(load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(step) for step in first["loc"]) or "the mapping"
        reason = first["msg"].removeprefix("Value error, ")
        raise ConfigurationError(f"{path}: {place}: {reason}") from error
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read as a mapping: {error}") from error


def _of_record(path: str, record: Record, topic: str) -> Any:
    """The value of a path that begins with @; None for any other."""
    match path.partition("."):
        case ("@key", _, _):
            return None if record.key is None else record.key.decode(errors="replace")
        case ("@timestamp", _, _):
            return record.timestamp if record.timestamp >= 0 else None
        case ("@place", _, _):
            return f"{topic}/{record.partition}@{record.offset}"
        case ("@headers", _, name):
            value = dict(record.headers).get(name)
            return None if value is None else value.decode(errors="replace")
        case _:
            return None


def _at(event: Mapping[str, Any], path: str) -> Any:
    found: Any = event
    for step in path.split("."):
        if isinstance(found, list) and step.isdecimal() and int(step) < len(found):
            found = found[int(step)]
        elif isinstance(found, Mapping) and step in found:
            found = found[step]
        else:
            return _ABSENT
    return found


def _fitting(name: FieldName, value: Any) -> Any:
    """Numbers as text, if the envelope wants text."""
    plain_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if plain_number and name not in ("payload", "private") else value
