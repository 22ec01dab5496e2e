"""Finds the one JSON object in what a model wrote.

Servers wrap answers: in a ``` fence, in prose, after the model's reasoning, or in the field of the
reasoning itself. A text is read in linear time, and only up to `LONGEST` characters.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from extractors.language_model.reasons import Reason

A = TypeVar("A", bound=BaseModel)

LONGEST = 200_000
"""Characters of an answer that are read."""

MOST_STARTS = 32
"""Places at which an object is looked for."""

_START = re.compile(r'\{\s*["}]')
_TAGS = "(?:think|thinking|thought|reasoning|seed:think)"
_REASONING_ENDS = re.compile(rf"</{_TAGS}>|\[/THINK\]")
_REASONING_BEGINS = re.compile(rf"\s*(?:<{_TAGS}>|\[THINK\])")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class AnswerText(Generic[A]):
    """What was found in a text.

    answer: the object; None if it cannot be read.
    reason, errors: why not, in words that repeat nothing of the text.
    found_in: where the object stood, if not by itself; else empty.
    """

    answer: A | None = None
    reason: Reason | None = None
    errors: str = ""
    found_in: str = ""


def read_answer(
    content: str, reasoning: str, schema: type[A], *, cut_off: bool = False
) -> AnswerText[A]:
    """Reads the answer in a reply's content, or in its reasoning if the content is blank.

    `cut_off`: the reply reached its limit of tokens.
    """
    content, reasoning = content[:LONGEST], reasoning[:LONGEST]
    whole = _valid(content, schema)
    if whole is not None:
        return AnswerText(whole)
    thought, said = _parted(content)
    where = "the reasoning" if not said.strip() else "other text"
    found = _one_object(said if said.strip() else f"{reasoning}\n{thought}", schema)
    if found.answer is not None:
        return AnswerText(found.answer, found_in=where)
    if cut_off:
        return AnswerText(
            reason=Reason.CUT_OFF, errors="it was cut off at the length limit; be brief"
        )
    if not content.strip() and not reasoning.strip():
        return AnswerText(reason=Reason.EMPTY, errors="the answer is empty")
    return found


def _parted(content: str) -> tuple[str, str]:
    """A text's reasoning and the rest of it."""
    end = _REASONING_ENDS.search(content)
    if end:
        return content[: end.start()], content[end.end() :]
    if _REASONING_BEGINS.match(content):
        return content, ""
    return "", content


def _one_object(text: str, schema: type[A]) -> AnswerText[A]:
    """The one object in a text that fits the schema; the same one may stand there twice."""
    objects = list(_objects(text))
    fitting = [valid for each in objects if (valid := _valid(each, schema)) is not None]
    if fitting and all(each == fitting[0] for each in fitting):
        return AnswerText(fitting[0])
    if fitting:
        return AnswerText(reason=Reason.UNREADABLE, errors="it holds JSON objects that differ")
    if not objects:
        return AnswerText(reason=Reason.UNREADABLE, errors="it holds no JSON object")
    return AnswerText(reason=Reason.WRONG_SCHEMA, errors=_errors(objects[-1], schema))


def _objects(text: str) -> Iterator[str]:
    """The outermost JSON objects of a text, in order."""
    at = 0
    for _ in range(MOST_STARTS):
        start = _START.search(text, at)
        if start is None:
            return
        try:
            _, at = _DECODER.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            at = start.start() + 1
        else:
            yield text[start.start() : at]


def _valid(text: str, schema: type[A]) -> A | None:
    try:
        return schema.model_validate_json(text)
    except ValidationError:
        return None


def _errors(text: str, schema: type[BaseModel]) -> str:
    try:
        schema.model_validate_json(text)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[:5]
        return "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'the answer'}: {e['msg']}" for e in found
        )
    return ""
