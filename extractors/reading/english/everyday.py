"""Reads what people did, do and are doing: verbs of the lexicon in a tense worth keeping."""

import re
from collections.abc import Iterator
from dataclasses import replace

from extractors.reading.english.claims import (
    NO,
    YES,
    Aspect,
    Claim,
    Said,
    either,
)
from extractors.reading.english.grammar import Tense
from extractors.reading.english.lexicon import any_of
from extractors.reading.english.plans import intended
from extractors.reading.english.verbs import USES, Use
from extractors.reading.english.wording import slug, stands_alone

_DULL = re.compile(  # objects that say nothing about anybody
    r"\s*(?:\W*\Z|here\b|there\b|in\s(?:fear|hope|peace|denial|terror|dread|the\s(?:past|moment))\b|"
    r"a\s(?:lot|bit|blast|break|look|chance|moment|ton|few|couple)\b(?!\sof\s\w)"
    r"|(?:so|too)\smuch|up\b(?!\s\w)|lots\b(?!\sof)|time\s(?:for|to)\b|the\stime\sto\b"
    r"|the\s(?:same|best|most|point|idea|impression|feeling|hang|chance)\b"
    r"|an?\s(?:idea|impact|difference|impression|sense|feeling|glimpse|kick|better|deeper|chance)\b"
    r"|(?:(?:an?|some|many|a\slot\sof|lots\sof)\s)?(?:pic|picture|photo|shot|snap)s?\b"
    r"|some\s(?:trouble|issues|problems|more|great|good|really)\b"
    r"|my\s(?:mind|best|time|heart|hearts|part|fair\sshare)\b|(?:new|different)\sthings\b"
    r"|(?:my|the)\s(?:current\s|initial\s|existing\s)?(?:code|snippet|attempt|implementation)\b"
    r"|with\sthe\s(?:basic|code|example)|to\s(?:my|some|a)\sfriends?\W*\Z"
    r"|(?:on\s|to\s|in\s|at\s)?(?:an?|some|lots\sof|a\slot\sof|many)?\s?"
    r"(?:(?:new|cool|great|awesome|nice|big|good)\s)*"
    r"(?:project|event|people|friends|folks|stuff|things|turnout|time|idea|plan|progress)s?"
    r"(?:\s(?:lately|too))?\W*\Z"
    r"|(?:(?:new|different|some|other)\s)*(?:options|skills)\W*\Z|a\sgreat\steam"
    r"|into\s(?:some\s|an?\s|any\s)?(?:\w+\s)?(?:issue|problem|error|trouble)s?\b"
    r"|hard(?:\s(?:lately|to))?\W*\Z|hard\sto\smake|(?:great|good|ok|okay|well)(?:\slately)?\W*\Z"
    r"|out(?:\srecently|\slately)?\W*\Z|to\ssee\s(?:some\s)?(?:\w+\s)?(?:spots|places|things)\W*\Z"
    r"|(?:an?|the|some)\s(?:new\s|good\s)?(?:book|movie|film|show|song|game)s?\W*\Z"
    r"|"
    + any_of(
        "a_surge fun care pleasure sure sense better advantage comfort inspired overwhelmed stuck confused"
        " nervous excited emotional goosebumps lucky carried_away used_to together in_touch"
        " back_to_you right step going forward often well ok okay alright fine up_with across"
        " from_scratch progress"
    )
    + r"\b)",
    re.IGNORECASE,
)
_DANGLING = re.compile(
    r"\b"
    + any_of(
        "of to and or the a an with for in at on by my that as about is was so like from than"
        " really very doing getting making being how what their our it them him her into if"
    )
    + r"\Z",
    re.IGNORECASE,
)
_EACH_OTHER = re.compile(r"\b(?:each other|one another)\b", re.IGNORECASE)
_JUST_THE = re.compile(r"(?:up\s)?(?:the|some)\s\w+(?:\s\w+)?\W*\Z", re.IGNORECASE)
_NEEDS_MORE = frozenset(
    (
        "complete",
        "test",
        "implement",
        "update",
        "fix",
        "add",
        "configure",
        "change",
        "set",
        "prepare",
    )
)
_TAKES = {
    "try": re.compile(r"(?!to\s)"),
    "look": re.compile(r"(?:into|for|after)\s"),
    "go": re.compile(r"(?!by\b)"),
    "talk": re.compile(r"(?:to|with|about)\s"),
}
_SCHEDULED = frozenset(
    (
        "attend", "celebrate", "change", "come", "fly", "go", "host", "join", "leave", "marry",
        "meet", "move", "start", "travel", "visit",
    )
)  # fmt: skip
"""Verbs that describe a plan if they are ongoing and have a date: "I'm flying to Oslo on
Monday"."""
_ABOUT_SOMETHING = re.compile(r"\d|\b(?:my|our)\s|(?<!\A)\b[A-Z][a-z]")


def everyday(said: Said) -> Iterator[Claim]:
    """Yields an event, a habit or something ongoing; nothing if the words say too little."""
    use = USES.get(said.group.verb)
    if use is None:  # a regular past of a verb we do not know: worth it if it is about something
        use = Use.EVENT if _ABOUT_SOMETHING.search(said.rest) else Use(0)
    if not use or not _telling(said):
        return
    match said.tense:
        case Tense.PAST | Tense.PERFECT if Use.EVENT in use:
            yield from event(said)
        case Tense.PRESENT if Use.HABIT in use:
            yield replace(either(said, "habit", _doing(said), said.text), importance=0.55)
        case Tense.USED_TO if use & (Use.HABIT | Use.ONGOING):
            yield replace(either(said, "habit", _doing(said), said.text), importance=0.5)
        case Tense.ONGOING if said.group.verb in _SCHEDULED and said.dated:
            yield from intended(said)
        case Tense.ONGOING | Tense.PERFECT_ONGOING if Use.ONGOING in use:
            yield replace(either(said, "doing", _doing(said), said.text), importance=0.5)
        case Tense.FUTURE | Tense.INTENDED:
            yield from intended(said)
        case _:
            return


def event(said: Said) -> Iterator[Claim]:
    """Yields something that happened, that did not happen, or that never did."""
    if not _telling(said):
        return
    what = slug(_doing(said))
    if said.group.never:
        claim = Claim(said.named(f"never.{what}"), YES, said.text)
    else:
        happened = NO if said.group.denied else YES
        claim = Claim(said.named(f"did.{what}"), happened, said.text, single_valued=False)
    yield replace(claim, aspect=Aspect.EVENT, importance=0.5, confidence=0.8)


def _doing(said: Said) -> str:
    return f"{said.group.verb} {said.written}"


def _telling(said: Said) -> bool:
    """Whether the object is informative to a reader who was not there."""
    verb, rest = said.group.verb, said.rest
    taken = _TAKES.get(verb)
    if taken and not taken.match(rest):
        return False
    if said.subject.plural and _EACH_OTHER.search(rest):
        return False
    if verb in _NEEDS_MORE and _JUST_THE.match(rest):
        return False
    return stands_alone(rest) and not _DULL.match(rest) and not _DANGLING.search(rest)
