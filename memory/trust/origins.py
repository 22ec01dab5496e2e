"""Whose words an interaction is, and each span of it."""

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice, takewhile

from memory.models import (
    TRUSTED_ORIGINS,
    Interaction,
    InteractionKind,
    Origin,
    Role,
    Trust,
    least_trusted,
    trust_of,
)
from memory.trust.rules import NO_RULES, TrustRules, tool_or_actor
from memory.trust.spans import OriginSpan, is_a_name, spans_of

_REACHES_OUT = re.compile(
    r"(?:\A|[^a-z])(?:web|www|search|browse\w*|fetch\w*|https?|url|crawl\w*|scrape\w*|internet"
    r"|google|bing|e?mails?|inbox|gmail|imap|news|rss)(?:[^a-z]|\Z)"
)
"""A tool with such a word in its name brings what strangers wrote."""

_WORD_IN_CAMEL_CASE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

_OF_ROLE = {
    Role.USER: Origin.PERSON,
    Role.ASSISTANT: Origin.AGENT,
    Role.SYSTEM: Origin.APP,
    Role.TOOL: Origin.TOOL,
}


def origin_of(interaction: Interaction, rules: TrustRules = NO_RULES) -> Origin:
    """Returns the origin of an interaction as a whole: by the tenant's rules, or by what it is."""
    named = rules.origin(interaction)
    return _by_itself(interaction) if named is None else named


def _by_itself(interaction: Interaction) -> Origin:
    match interaction.kind:
        case InteractionKind.TOOL_RESULT:
            return _of_tool(interaction)
        case InteractionKind.RETRIEVAL:
            return Origin.DOCUMENT
        case InteractionKind.TOOL_CALL | InteractionKind.MODEL_CALL:
            return _of_agent(interaction)
        case InteractionKind.NOTE:
            asked_by_app = interaction.role in (Role.USER, Role.SYSTEM)
            return Origin.APP if asked_by_app else _of_role(interaction)
        case InteractionKind.MESSAGE | InteractionKind.FEEDBACK:
            return _of_role(interaction)


def _of_role(interaction: Interaction) -> Origin:
    if interaction.role is Role.TOOL:
        return _of_tool(interaction)
    if interaction.role is Role.ASSISTANT:
        return _of_agent(interaction)
    actor = interaction.actor
    if interaction.role is Role.USER and actor is not None and not is_a_name(actor):
        return Origin.QUOTED
    return _OF_ROLE[interaction.role]


def _of_agent(interaction: Interaction) -> Origin:
    """Another agent speaks where an actor is named who is not the agent of the scope."""
    agent, actor = interaction.scope.agent, interaction.actor
    another = agent is not None and actor is not None and actor.casefold() != agent.casefold()
    return Origin.OTHER_AGENT if another else Origin.AGENT


def _of_tool(interaction: Interaction) -> Origin:
    name = tool_or_actor(interaction) or ""
    plain = _WORD_IN_CAMEL_CASE.sub("_", name).casefold()
    return Origin.EXTERNAL if _REACHES_OUT.search(plain) else Origin.TOOL


def origin_of_span(
    interaction: Interaction, start: int, end: int, rules: TrustRules = NO_RULES
) -> Origin:
    """Returns the origin of `content[start:end]`: the least trusted of the spans it overlaps."""
    return SpanOrigins.of(interaction, rules).between(start, end)


@dataclass(frozen=True, slots=True)
class SpanOrigins:
    """The origins of one interaction's spans; reads its content once."""

    whole: Origin
    spans: tuple[OriginSpan, ...]

    @classmethod
    def of(cls, interaction: Interaction, rules: TrustRules = NO_RULES) -> "SpanOrigins":
        """Reads an interaction; only a person's message has parts of several origins."""
        whole = origin_of(interaction, rules)
        if whole is not Origin.PERSON or interaction.kind is not InteractionKind.MESSAGE:
            return cls(whole, ())
        return cls(whole, spans_of(interaction.content, interaction.role))

    def between(self, start: int, end: int) -> Origin:
        """Returns the least trusted origin from `start` to `end`; that of all, if it is empty."""
        if start >= end:
            return least_trusted(span.origin for span in self.spans) or self.whole
        first = bisect_right(self.spans, start, key=lambda span: span.end)
        over = takewhile(lambda span: span.start < end, islice(self.spans, first, None))
        return least_trusted(span.origin for span in over) or self.whole


def origin_of_request(interaction: Interaction, rules: TrustRules = NO_RULES) -> Origin:
    """Returns the origin of a `remember` key in the payload of what is no note.

    A payload is what somebody passed on, so nobody's word founds a belief by it.
    """
    origin = origin_of(interaction, rules)
    trust = trust_of(origin)
    return Origin.QUOTED if trust is not None and trust >= Trust.TRUSTED else origin


def voice_of(interaction: Interaction, origin: Origin) -> str:
    """Returns the name of whoever said it: the tool, the speaker, the agent or the source."""
    if origin in (Origin.TOOL, Origin.EXTERNAL):
        named = tool_or_actor(interaction)
    elif origin in (Origin.AGENT, Origin.OTHER_AGENT):
        named = interaction.actor or interaction.scope.agent
    else:
        named = None
    return named or interaction.source


Voice = tuple[Origin | None, str]
"""An origin and the name of whoever speaks; (None, "") is everybody who is trusted."""

EVERYBODY_TRUSTED: Voice = (None, "")


def voices(
    interactions: Iterable[Interaction], rules: TrustRules
) -> dict[Voice, list[Interaction]]:
    """Groups interactions by who speaks, in order; those who are trusted are one group."""
    groups: dict[Voice, list[Interaction]] = {}
    for interaction in interactions:
        origin = origin_of(interaction, rules)
        trusted = origin in TRUSTED_ORIGINS
        voice = EVERYBODY_TRUSTED if trusted else (origin, voice_of(interaction, origin))
        groups.setdefault(voice, []).append(interaction)
    return groups


@dataclass(frozen=True, slots=True)
class TenantTrust:
    """What decides on origins in one tenant of one store.

    notes_since: from when on only notes ask for memories; see `store_identity`.
    """

    rules: TrustRules = NO_RULES
    notes_since: datetime | None = None
