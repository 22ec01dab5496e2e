"""The response models of prompts; each prompt names its model in its head.

The schema of these models is sent with the prompt, so the model reads their descriptions. A
prompt's head also holds the schema's digest: whoever changes a model here has to raise the version
of its prompt.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Answer(BaseModel):
    """Nothing beyond the fields, and none of them left out: what servers call strict."""

    model_config = ConfigDict(extra="forbid")


class Quote(_Answer):
    """The words that a proposal rests on."""

    turn: int = Field(description="the number of the turn")
    words: str = Field(description="a stretch of that turn's text, copied exactly")


class Proposal(_Answer):
    """A fact or a preference."""

    text: str = Field(description="one sentence in the third person that stands by itself")
    quotes: list[Quote] = Field(description="what it rests on; at least one of a person's words")
    attribute: str | None = Field(
        description="what it is about, as snake_case: lives_in, works_at, taste.coffee; null if"
        " nothing short says it"
    )
    value: str | None = Field(description="the attribute's value, in lower case; null without one")
    single_valued: bool = Field(description="whether a person has only one such value at a time")
    tense: Literal["past", "present", "future"] = Field(
        description="whether it happened, holds, or is planned"
    )
    when: str | None = Field(
        description="the words in a quote that say when, copied exactly and never worked out"
    )
    ends: list[int] = Field(description="numbers of known memories that no longer hold by this")


class Steps(_Answer):
    """How the person does something, as they told it."""

    task: str = Field(description="what is done, in a few words")
    steps: list[str] = Field(description="in order, each a short imperative")
    quotes: list[Quote] = Field(description="the person's words that tell the steps")


class Extracted(_Answer):
    """All that is worth remembering of the new turns; empty lists where nothing is."""

    facts: list[Proposal]
    preferences: list[Proposal]
    procedures: list[Steps]


class Sentence(_Answer):
    """One sentence of a summary."""

    text: str = Field(description="one sentence, naming who did what")
    quotes: list[Quote] = Field(description="the words it rests on")


class Summarised(_Answer):
    """A summary, sentence by sentence, in the order of the conversation."""

    sentences: list[Sentence]


class Judged(_Answer):
    """Which values of one contest hold."""

    contest: int = Field(description="the number of the contest")
    holds: list[int] = Field(
        description="the numbers of the values that hold: one, or several that are true side by"
        " side; empty where the words do not tell"
    )
    quotes: list[Quote] = Field(
        description="the person's words, in turns of this contest, that decide it; empty where"
        " nothing does"
    )


class Consolidated(_Answer):
    """What is to be said of each contest."""

    contests: list[Judged]
