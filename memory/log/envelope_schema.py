"""The envelope as a JSON Schema, for producers in other languages.

It is made from the fields that `EnvelopeFields` declares. What it lets through is read, but for the
limits that JSON Schema has no words for: bytes, depth, and half surrogate pairs.
"""

from typing import Any

from memory.errors import HIDDEN
from memory.log.envelope import MAX_CONTENT_BYTES, Envelope
from memory.log.fields import FIELDS
from memory.log.plain_json import MAX_PAYLOAD_BYTES, MAX_PAYLOAD_DEPTH

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_WITHOUT_NUL = r"^[^\u0000]*$"
_NAME = f"^[^{HIDDEN}]*$(?!\\n)"  # `$` also matches before a last line break
_LARGEST = 1.7976931348623157e308

_TIME = (
    r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?"
    r"(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)

_VALUE: dict[str, Any] = {
    "description": "Any JSON value without NUL characters; numbers within a double's range.",
    "anyOf": [
        {"type": ["null", "boolean"]},
        {"type": "number", "minimum": -_LARGEST, "maximum": _LARGEST},
        {"type": "string", "pattern": _WITHOUT_NUL},
        {"type": "array", "items": {"$ref": "#/$defs/value"}},
        {"$ref": "#/$defs/object"},
    ],
}

_OBJECT: dict[str, Any] = {
    "type": "object",
    "propertyNames": {"pattern": _WITHOUT_NUL},
    "additionalProperties": {"$ref": "#/$defs/value"},
}

_SAYS_SOMETHING: dict[str, Any] = {
    "anyOf": [
        {"required": ["content"], "properties": {"content": {"pattern": r"\S"}}},
        {"required": ["payload"], "properties": {"payload": {"minProperties": 1}}},
    ]
}

_PRIVATE_TO_AN_AGENT: dict[str, Any] = {
    "if": {"required": ["private"], "properties": {"private": {"const": True}}},
    "then": {"required": ["agent"], "properties": {"agent": {"type": "string"}}},
}


def envelope_schema() -> dict[str, Any]:
    """Returns the schema of version 1 of the envelope (JSON Schema 2020-12)."""
    made = Envelope.model_json_schema()
    enums = {name: one["enum"] for name, one in made["$defs"].items() if "enum" in one}
    fields = {name: _field(told, enums) for name, told in made["properties"].items()}
    for field in FIELDS:
        fields[field.name] = {"description": field.says, **fields[field.name]}
    fields["v"] = {"description": "The version of the envelope.", **fields["v"]}
    fields["content"] |= {"maxLength": MAX_CONTENT_BYTES, "pattern": _WITHOUT_NUL}
    fields["payload"] = {
        "description": fields["payload"]["description"],
        "$ref": "#/$defs/object",
        "default": {},
    }
    fields["occurred_at"] |= {"pattern": _TIME}
    return {
        "$schema": DIALECT,
        "title": "Envelope of an interaction, version 1",
        "description": (
            f"content may have {MAX_CONTENT_BYTES:,} bytes in UTF-8; payload {MAX_PAYLOAD_BYTES:,}"
            f" bytes and {MAX_PAYLOAD_DEPTH} levels. One of them must say something."
        ),
        "type": "object",
        "properties": fields,
        "required": made["required"],
        "additionalProperties": False,
        "allOf": [_SAYS_SOMETHING, _PRIVATE_TO_AN_AGENT],
        "$defs": {"value": _VALUE, "object": _OBJECT},
    }


def _field(told: dict[str, Any], enums: dict[str, list[str]]) -> dict[str, Any]:
    """One field in plain keywords: no titles, enums in place, names without NUL."""
    plain = {name: value for name, value in told.items() if name != "title"}
    if "anyOf" in plain:  # a name or null
        (name,) = (one for one in plain.pop("anyOf") if one["type"] == "string")
        plain = {**plain, **name, "type": ["string", "null"]}
    if "$ref" in plain:
        plain |= {"type": "string", "enum": enums[plain.pop("$ref").rpartition("/")[2]]}
    if "minLength" in plain:
        plain["pattern"] = _NAME
    return plain
