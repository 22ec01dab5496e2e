"""The response models of prompts; each prompt names its model in its head.

The schema of these models is sent with the prompt. Servers turn it into a grammar, which no model
reads, so `form` says the same in the prompt's text. A prompt's head also holds the schema's digest:
whoever changes a model here has to raise the version of its prompt.

The sizes bound what a model writes before it is stopped. They are asked for and not checked: a
longer answer is as good.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

MOST_PROPOSALS, MOST_QUOTES, MOST_ENDED, MOST_STEPS, MOST_SENTENCES = 24, 4, 8, 12, 24
LongText = Annotated[str, Field(json_schema_extra={"maxLength": 500})]
ShortText = Annotated[str, Field(json_schema_extra={"maxLength": 120})]


def _at_most(items: int) -> JsonDict:
    return {"maxItems": items}


class _Answer(BaseModel):
    """Nothing beyond the fields, and none of them left out: what servers call strict."""

    model_config = ConfigDict(extra="forbid")


class Quote(_Answer):
    """The words that a proposal rests on."""

    turn: int = Field(description="the number of the turn")
    words: LongText = Field(description="a stretch of that turn's text, copied exactly")


class Proposal(_Answer):
    """A fact or a preference."""

    text: LongText = Field(
        description="one sentence in the third person that stands by itself, in the language of the"
        " turn that it rests on"
    )
    quotes: list[Quote] = Field(
        description="what it rests on; at least one of a person's words",
        json_schema_extra=_at_most(MOST_QUOTES),
    )
    attribute: ShortText | None = Field(
        description="what it is about, as snake_case: lives_in, works_at, taste.coffee; null if"
        " nothing short says it"
    )
    value: ShortText | None = Field(
        description="the attribute's value, in lower case; null without one"
    )
    single_valued: bool = Field(description="whether a person has only one such value at a time")
    tense: Literal["past", "present", "future"] = Field(
        description="whether it happened, holds, or is planned"
    )
    when: ShortText | None = Field(
        description="the words in a quote that say when, copied exactly and never worked out;"
        " null if none do"
    )
    ends: list[int] = Field(
        description="numbers of known memories that no longer hold by this",
        json_schema_extra=_at_most(MOST_ENDED),
    )


class Steps(_Answer):
    """How the person does something, as they told it."""

    task: ShortText = Field(description="what is done, in a few words")
    steps: list[ShortText] = Field(
        description="in order, each a short imperative", json_schema_extra=_at_most(MOST_STEPS)
    )
    quotes: list[Quote] = Field(
        description="the person's words that tell the steps",
        json_schema_extra=_at_most(MOST_QUOTES),
    )


class Extracted(_Answer):
    """All that is worth remembering of the new turns; empty lists where nothing is."""

    facts: list[Proposal] = Field(
        description="about them and their lives", json_schema_extra=_at_most(MOST_PROPOSALS)
    )
    preferences: list[Proposal] = Field(
        description="what they prefer, and how they want to be served",
        json_schema_extra=_at_most(MOST_PROPOSALS),
    )
    procedures: list[Steps] = Field(
        description="ways of doing something that they describe",
        json_schema_extra=_at_most(MOST_STEPS),
    )


class Sentence(_Answer):
    """One sentence of a summary."""

    text: LongText = Field(description="one sentence, naming who did what")
    quotes: list[Quote] = Field(
        description="the words it rests on", json_schema_extra=_at_most(MOST_QUOTES)
    )


class Summarised(_Answer):
    """A summary, sentence by sentence, in the order of the conversation."""

    sentences: list[Sentence] = Field(
        description="in order", json_schema_extra=_at_most(MOST_SENTENCES)
    )


class Judged(_Answer):
    """Which values of one contest hold."""

    contest: int = Field(description="the number of the contest")
    holds: list[int] = Field(
        description="the numbers of the values that hold: one, or several that are true side by"
        " side; empty where the words do not tell",
        json_schema_extra=_at_most(MOST_QUOTES),
    )
    quotes: list[Quote] = Field(
        description="the person's words, in turns of this contest, that decide it; empty where"
        " nothing does",
        json_schema_extra=_at_most(MOST_QUOTES),
    )


class Consolidated(_Answer):
    """What is to be said of each contest."""

    contests: list[Judged] = Field(
        description="one for each contest", json_schema_extra=_at_most(MOST_STEPS)
    )


# The same in words --------------------------------------------------------------------------------


def form(answer: type[BaseModel]) -> str:
    """Describes an answer's fields in plain words, for models that never read its schema."""
    schema = answer.model_json_schema()
    parts = [("The answer", schema), *schema.get("$defs", {}).items()]
    told = ["\n".join([f"{name}:", *_fields(part)]) for name, part in parts]
    return "\n\n".join(["Answer with one JSON object and nothing else. Leave out no field.", *told])


def _fields(schema: Mapping[str, Any]) -> Iterator[str]:
    for name, field in schema["properties"].items():
        yield f'- "{name}": {_type(field)}; {field["description"]}'


def _type(field: Mapping[str, Any]) -> str:
    """The type of a field's value, in words."""
    if "anyOf" in field:
        return " or ".join(_type(each) for each in field["anyOf"])
    if "enum" in field:
        return " or ".join(f'"{each}"' for each in field["enum"])
    if "$ref" in field:
        return str(field["$ref"].rpartition("/")[2])
    if field["type"] == "array":
        most = f" of at most {field['maxItems']}" if "maxItems" in field else ""
        return f"list{most}, each {_type(field['items'])}"
    return str(field["type"])
