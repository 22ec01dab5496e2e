"""Reads prompts from the text files of `extractors/prompts`, with their version and answer.

A file starts with a head between two lines `---`: `name`, `version`, `answer` (a response model of
`extractors.prompts.answers`) and `schema` (the digest of that model's JSON schema). The hash covers
the head and all that a model is shown, so also the form of its answer.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel

from extractors.prompts import answers
from memory.errors import ConfigurationError

_RULE = "---\n"


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt as in its file.

    text: the prompt without the head, and after it the fields of the answer in words.
    source: the whole file.
    hash: the SHA-256 of head and text, in hex.
    """

    name: str
    version: str
    hash: str
    answer: type[BaseModel]
    text: str
    source: str

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema that answers have to fit."""
        return self.answer.model_json_schema()


@cache
def prompts() -> Mapping[str, Prompt]:
    """Returns every prompt of the package, by name."""
    found = (
        parsed(entry.read_text(encoding="utf-8"))
        for entry in sorted(files("extractors.prompts").iterdir(), key=lambda e: e.name)
        if entry.name.endswith(".txt")
    )
    return MappingProxyType({prompt.name: prompt for prompt in found})


def parsed(source: str) -> Prompt:
    """Parses a prompt file.

    Raises:
        ConfigurationError: the head lacks something, or names no response model.
    """
    _, head, text = [*source.split(_RULE, 2), "", ""][:3]
    fields = dict(line.split(": ", 1) for line in head.splitlines() if ": " in line)
    missing = {"name", "version", "answer", "schema"} - fields.keys()
    if missing or not text.strip():
        raise ConfigurationError(
            f"a prompt's head needs {sorted(missing)!r} and a text after it, got {source[:80]!r}"
        )
    answer = getattr(answers, fields["answer"], None)
    if not (isinstance(answer, type) and issubclass(answer, BaseModel)):
        raise ConfigurationError(
            f"prompt {fields['name']!r}: no response model is called {fields['answer']!r}"
        )
    told = f"{text.strip()}\n\n{answers.form(answer)}"
    digest = hashlib.sha256(f"{head}{_RULE}{told}".encode()).hexdigest()
    return Prompt(fields["name"], fields["version"], digest, answer, told, source)


def schema_digest(answer: type[BaseModel]) -> str:
    """Returns the digest of a response model for a prompt's head; 16 hexadecimal digits."""
    packed = json.dumps(answer.model_json_schema(), sort_keys=True)
    return hashlib.sha256(packed.encode()).hexdigest()[:16]
