"""The form of a request, and how it gives way to what a server does not take.

Servers of OpenAI's chat API differ in the parameters they accept, and say so with a 400 that names
one. Each is dropped or replaced once; a form that was answered is kept for the model in this
process.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from extractors.language_model.server_errors import words

if TYPE_CHECKING:
    from openai import APIStatusError

REFUSING = frozenset((400, 422))
REFUSING_FORMATS = frozenset((500, 501))
"""Statuses with which servers refuse a parameter, and with which some refuse a schema."""

REASONING_SHARE = 4
"""Where the limit counts a model's reasoning as well, it is this many times as large."""

_READ = 2_000
"""Characters of an error that are read: some servers repeat the whole request in it."""

_TEMPERATURE = re.compile(r"\btemperature\b")
_FORMAT = re.compile(
    r"response_format|json_schema|json_object|structured.outputs?|guided.?(?:json|decoding)"
    r"|grammar|\bschema\b",
    re.IGNORECASE,
)
_BOUNDS = frozenset(("maxItems", "maxLength"))


class AnswerFormat(StrEnum):
    """How a server is asked to keep to the schema, from the strictest way to none."""

    BOUNDED_SCHEMA = "json_schema"
    SCHEMA = "json_schema without limits"
    OBJECT = "json_object"
    TEXT = "no response_format"

    @property
    def next(self) -> "AnswerFormat | None":
        """The way to try after a server refused this one."""
        ways = list(AnswerFormat)
        after = ways.index(self) + 1
        return ways[after] if after < len(ways) else None


@dataclass(frozen=True, slots=True)
class RequestForm:
    """The parameters that a server is sent.

    limit: the name of the parameter that limits the answer's tokens; None: it takes neither.
    """

    temperature: bool = True
    limit: str | None = "max_tokens"
    answer: AnswerFormat = AnswerFormat.BOUNDED_SCHEMA

    def parameters(self, name: str, schema: Mapping[str, Any], tokens: int) -> dict[str, Any]:
        """Returns the parameters beside model and messages; `tokens` limits the answer."""
        sent: dict[str, Any] = {"temperature": 0} if self.temperature else {}
        if self.limit:
            reasons = self.limit == "max_completion_tokens"
            sent[self.limit] = tokens * (REASONING_SHARE if reasons else 1)
        if self.answer is AnswerFormat.OBJECT:
            sent["response_format"] = {"type": "json_object"}
        elif self.answer is not AnswerFormat.TEXT:
            bounded = self.answer is AnswerFormat.BOUNDED_SCHEMA
            kept = dict(schema) if bounded else unbounded(schema)
            form = {"name": name, "schema": kept, "strict": True}
            sent["response_format"] = {"type": "json_schema", "json_schema": form}
        return sent

    def messages(
        self, messages: list[Mapping[str, str]], schema: Mapping[str, Any]
    ) -> list[Mapping[str, str]]:
        """Returns the messages, with the schema in the first where the server is sent none."""
        if self.answer not in (AnswerFormat.OBJECT, AnswerFormat.TEXT):
            return messages
        first, *rest = messages
        asked = f"{first['content']}\n\nThe JSON schema of the answer:\n{json.dumps(schema)}"
        return [{**first, "content": asked}, *rest]

    def without(self, error: "APIStatusError") -> "RequestForm | None":
        """Returns the form to try after an error; None if the error names no parameter of it."""
        told = f"{error.param or ''} {words(error)}"[:_READ]
        if error.status_code in REFUSING:
            return self._without(error.param or "") or self._without(told)
        refused = error.status_code in REFUSING_FORMATS and _FORMAT.search(told)
        return self._looser() if refused else None

    def _without(self, told: str) -> "RequestForm | None":
        if self.temperature and _TEMPERATURE.search(told):
            return replace(self, temperature=False)
        if self.limit and re.search(rf"\b{self.limit}\b", told):
            other = "max_completion_tokens" if self.limit == "max_tokens" else None
            return replace(self, limit=other)
        return self._looser() if _FORMAT.search(told) else None

    def _looser(self) -> "RequestForm | None":
        following = self.answer.next
        return replace(self, answer=following) if following else None

    def differences(self) -> Iterator[str]:
        """Yields what a server does not take of the form that is tried first, in words."""
        if not self.temperature:
            yield "without temperature"
        if self.limit != "max_tokens":
            yield f"with {self.limit}" if self.limit else "without a limit of tokens"
        if self.answer is not AnswerFormat.BOUNDED_SCHEMA:
            yield f"with {self.answer.value}"


def unbounded(schema: Any) -> Any:
    """Returns a JSON schema without the sizes of its lists and texts."""
    if isinstance(schema, Mapping):
        return {k: unbounded(v) for k, v in schema.items() if k not in _BOUNDS}
    return [unbounded(each) for each in schema] if isinstance(schema, list) else schema
