"""Reads what people like, dislike and prefer."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from extractors.reading.english.claims import Claim, Said, either
from extractors.reading.english.grammar import Tense
from extractors.reading.english.lexicon import any_of
from extractors.reading.english.plans import meant
from extractors.reading.english.verbs import FORMS, Form
from extractors.reading.english.wording import (
    addressed,
    normal,
    slug,
    stands_alone,
)
from memory.models import MemoryKind, Stance

_LASTING = frozenset({Tense.PRESENT, Tense.PERFECT, Tense.USED_TO})
_DISLIKES = frozenset(("hate", "dislike", "detest", "stand", "bear"))
_ABILITIES = frozenset(
    ("play", "speak", "drive", "swim", "eat", "drink", "digest", "tolerate", "sing", "cook", "ski")
)

# Likes and dislikes -------------------------------------------------------------------------------

_NO_TASTE = re.compile(
    r"(?:to\s)?(?:the\s(?:first|second|third|last|fact|look|sound|vibe|feel|concept|enthusiasm"
    r"|energy|photo|pic|picture|feeling|way|idea)|"
    + any_of(
        "how that when what where seeing hearing see hear think believe say thinking know being_able"
        " your you it being talking chatting catching_up sharing share help helping_you"
        " having_someone idea"
    )
    + r")\b",
    re.IGNORECASE,
)
_POINTED_AT = re.compile(  # "the colours": of the picture at hand; "the ocean" is meant in general
    r"(?:all\s|both\s)?the\s(?!"
    + any_of(
        "ocean beach mountain mountains outdoors sea rain snow sun city countryside water cold heat"
        " forest woods desert night morning weekend weekends holiday holidays summer winter autumn"
        " fall spring piano guitar violin gym park theater theatre opera cinema movies news"
    )
    + r"\b)(?![\w\s'-]*\s(?:of|in|at|from|by)\s\w)(?!(?-i:[A-Z]))",
    re.IGNORECASE,
)
_REASON = re.compile(
    r"\s(?:due to|because|since|for (?:its|their|the)|as (?:it|they)|when|whenever"
    r"|so (?:much|that))\b.*"
)


def liking(said: Said, thing: str, *, disliked: bool) -> Iterator[Claim]:
    """Yields the claim that someone likes or dislikes a thing; a denied dislike says neither."""
    what, denied = _REASON.sub("", thing), said.group.denied
    if (disliked and denied) or _POINTED_AT.match(what):
        return
    if not stands_alone(what) or not slug(what):
        return
    name = said.named(f"taste.{slug(what.removeprefix('to '))}")
    claim = Claim(name, "dislikes" if disliked or denied else "likes", said.text)
    if said.tense is Tense.USED_TO or (said.group.ended and not disliked):
        claim = replace(claim, value="likes", stance=Stance.CONTRADICTS)
    yield replace(claim, kind=MemoryKind.PREFERENCE, importance=0.7)


def can(said: Said) -> Iterator[Claim]:
    """`Can't stand cilantro`, `can't have dairy`, `can play the guitar`."""
    verb, negated = said.group.verb, said.group.negated
    if said.tense is not Tense.MODAL or said.group.form != "can":
        return
    if verb in _DISLIKES and negated and not _NO_TASTE.match(said.rest):
        known = replace(said, group=replace(said.group, negated=False))
        for claim in liking(known, said.written, disliked=True):
            yield replace(claim, text=said.text)
    elif (verb in _ABILITIES or (verb == "have" and negated)) and stands_alone(said.rest):
        yield either(said, "can", f"{verb} {said.written}", said.text)


def _taste(said: Said) -> Iterator[Claim]:
    verb = said.group.verb
    if said.tense is Tense.MODAL:
        yield from meant(said) if said.group.form != "can" else ()
        return
    now = said.tense is Tense.ONGOING and verb in {"love", "enjoy"}
    if (now or said.tense in _LASTING) and not _NO_TASTE.match(said.rest):
        yield from liking(said, said.written, disliked=verb in _DISLIKES)


# Preferences --------------------------------------------------------------------------------------

_COMPARED = re.compile(
    r"(?P<v>.+?),?\s(?:over|than|rather than|instead of|more than|(?P<to>to))\s(?P<o>.+)",
    re.IGNORECASE,
)
_PURPOSE = re.compile(
    r"\s(?:to|for better|in order to|due to|because|since|as|so that|for (?:its|their|the))\s.*"
)
_FOR = re.compile(
    r"\s(?P<for>for\s(?!its\b|their\b|the sake|better|now\b|me\b|a\b).+)", re.IGNORECASE
)
_RATHER = re.compile(
    r"(?:i|we)(?:'d|\swould)\s(?:much\s)?rather\s(?P<v>(?!not\b|be\s).+)", re.IGNORECASE
)
_AS_PREFERRED = re.compile(
    r",?\s(?:like|as|the way)\s(?:i|we)\s(?:always\s|usually\s)?(?:prefer|like)(?:\sit)?\Z",
    re.IGNORECASE,
)
_PRONOUN = re.compile(r"\A(?:it|that|this|them)\b")
_MEANT = re.compile(
    r"\b(?:use|using|with|chose|on|to)\s(?P<v>(?-i:[A-Z])[\w.+#-]*(?:\s(?-i:[A-Z\d])[\w.+#-]*)*)"
    r",?\s(?:and|but|because|since)\s\Z",
    re.IGNORECASE,
)
_PURPOSE_VERBS = frozenset(("be", "minimize", "ease", "grasp", "streamline", "speed"))


def rather(said: Said) -> Iterator[Claim]:
    """`I'd rather walk than drive`, `integrating videos like I prefer`."""
    found = _RATHER.match(said.core)
    if found and not addressed(found["v"]) and not said.subject.relation:
        yield from _preferred(said, found["v"], said.about(f"would rather {found['v']}"))
    usual = _AS_PREFERRED.search(said.rest)
    if usual:
        thing = said.written[: usual.start()].removeprefix("to ")
        yield from _preferred(said, thing, said.about(f"prefers {thing}"))


def _preference(said: Said) -> Iterator[Claim]:
    if said.tense not in {Tense.PRESENT, Tense.MODAL, Tense.PERFECT} or addressed(said.rest):
        return
    thing, text = said.written.removeprefix("to ").removeprefix("that "), said.text
    meaning = _MEANT.search(said.before) if _PRONOUN.match(thing) else None
    if meaning:
        thing = _PRONOUN.sub(meaning["v"], thing)
        text = said.told(thing)
    yield from _preferred(said, thing, text)


def _preferred(said: Said, thing: str, text: str) -> Iterator[Claim]:
    """The claim that someone prefers a thing, to another one if it is named."""
    compared = _COMPARED.match(thing)
    if compared and not (compared["to"] and _is_purpose(compared["o"])):
        chosen, other = compared["v"], slug(_PURPOSE.sub("", compared["o"]))
        pair = "_or_".join(sorted((slug(chosen), other)))
        claim = Claim(f"prefers.{pair}", normal(chosen), text)
        understood = stands_alone(chosen, words=0) and bool(other)
    else:
        chosen = _PURPOSE.sub("", thing)
        where = _FOR.search(chosen)
        chosen = chosen[: where.start()] if where else chosen
        claim = either(said, "prefers", chosen, text)
        claim = replace(claim, context=normal(where["for"]) if where else None)
        understood = stands_alone(chosen)
    if understood and slug(chosen):
        yield replace(claim, kind=MemoryKind.PREFERENCE, importance=0.8)


def _is_purpose(text: str) -> bool:
    """Whether the words after "to" are a purpose ("to fully grasp it"), not a choice ("to tea")."""
    first = text.partition(" ")[0].lower()
    known = Form.LEMMA in FORMS.get(first, ("", Form(0)))[1]
    return known or first.endswith("ly") or first in _PURPOSE_VERBS


TASTES: dict[str, Callable[[Said], Iterator[Claim]]] = {
    **dict.fromkeys(("like", "love", "enjoy", "adore", *sorted(_DISLIKES)), _taste),
    **dict.fromkeys(("prefer", "favor", "favour"), _preference),
}
"""Readers by verb."""
