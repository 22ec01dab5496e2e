"""Reads a question: the person, the time and the kind of answer that it asks for.

These are rules on English text. They decide how signals are weighed, and never leave a memory out.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september",
    "october", "november", "december",
)  # fmt: skip
_MONTH = "|".join(_MONTHS)
_ASKS_ASSISTANT = re.compile(
    r"\b(?:did|have|had|were|was|would|do) you"
    r" (?:ever |already |initially |previously |originally |first )?"
    r"(?:recommend|suggest|advis|tell|told|say|said|mention|explain|describe|propose|list|give"
    r"|gave|provide|outline|help|walk|show|calculat|compare|point|use|cover|include|define"
    r"|highlight)\w*"
    r"|\byou (?:recommended|suggested|advised|told|said|mentioned|explained|described|proposed"
    r"|listed|gave|provided|outlined|showed|helped|walked|highlighted)\b"
    r"|\byour (?:advice|suggestion|recommendation|explanation|answer|response|guidance"
    r"|instructions?)s?\b",
    re.IGNORECASE,
)
_REQUEST = re.compile(
    r"\b(?:can|could|would|will) you"
    r" (?!(?:list|give|summari|provide|walk me through the order|tell me))"
    r"|\bhelp me\b|\bhow (?:should|can|could|do|would|might) (?:i|we|one|you)\b"
    r"|\b(?:should|shall) i\b|\b(?:suggest|recommend|advice|advise)\b"
    r"|\bwhat (?:are|is) (?:some|the (?:best|different|most)|a good)\b"
    r"|\bdo you (?:think|recommend)\b|\bwhat (?:tools?|steps?|typical|kind|types?)\b"
    r"|^(?:show|explain|write|give|walk|help|suggest|recommend|design|create|make|plan|draft)\b"
    r"|\bi'?m (?:planning|looking|trying|working|about|updating|applying|creating|building"
    r"|thinking)|\bif i\b|\bi (?:want|need|would like|'d like) to\b",
    re.IGNORECASE,
)
_BROAD = re.compile(
    r"\b(?:summar\w+|overview|recap|in order|the order|order in which|brought up|timeline of"
    r"|over time|progress(?:ed|ion)|evolv\w+|journey|throughout|across (?:all|my|our))\b",
    re.IGNORECASE,
)
_TALK = (
    r"(?:conversations?|chats?|discussions?|sessions?|messages?|requests?|questions?"
    r"|interactions?|exchanges?)"
)
_ABOUT_THE_TALK = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\b(?:please\s+)?(?:can|could|would|will) you (?:please )?(?:list|give me"
        r"|provide(?: me with)?|summari[sz]e|walk me through|tell me|remind me(?: of)?|recap)\b",
        r"\bmention only (?:and only )?[\w-]+ (?:items?|things?|aspects?|points?)\b",
        r"\b(?:in|the) order (?:in which|that|of how|how)?\s*(?:i|we)?"
        r" ?(?:brought up|mentioned|raised|discussed|talked about)?",
        r"\b(?:a|an|the)? ?(?:comprehensive|clear|complete|brief|detailed|full|short)?"
        r" ?(?:summary|overview|recap) of\b",
        r"\b(?:different|various|several)\s+(?:aspects|parts|topics|concepts|points)"
        r" (?:of|related to|about)\b",
        r"\b(?:throughout|across|in|during|from|over|based on|through|between) (?:all )?(?:of )?"
        r"(?:our|my|the|these|those) (?:\w+ )?" + _TALK + r"(?: (?:about|on|with you))?\b",
        r"\b(?:did|have|had) (?:i|we) (?:ever )?(?:mention(?:ed)?|say|said|tell you|told you"
        r"|bring up|brought up|talk(?:ed)? about|discuss(?:ed)?|ask(?:ed)?(?: about)?)\b",
        r"\b(?:i|we|you|i've|we've) (?:have )?(?:mentioned|said|told you|brought up|talked about"
        r"|discussed|been discussing|asked about)\b",
        r"\bover (?:time|the (?:past|last) (?:few |\w+ )?(?:days|weeks|months|years))\b",
        r"\bhow many (?:different |total )?(?:times|ways)?\b",
        r"\bin (?:total|order)\b",
    )
)
_FEWEST_WORDS = 3


@dataclass(frozen=True, slots=True)
class Question:
    """A question as recall reads it.

    searched: the text to embed and to look up word by word: without participants' names and, for a
        broad question, without words about the conversation itself.
    speaker: the one participant it names, if it names exactly one.
    request: it asks for help or advice, which a standing instruction may govern.
    broad: it asks for a summary or an order, which many sessions answer together.
    months, years, days: of the dates it names.
    """

    text: str
    searched: str
    speaker: str | None = None
    request: bool = False
    broad: bool = False
    months: tuple[int, ...] = ()
    years: tuple[int, ...] = ()
    days: tuple[int, ...] = ()

    def date_match(self, moment: datetime) -> float:
        """Returns 2 near a named day, 1 in a named month or year, and 0 otherwise."""
        if not (self.months or self.years):
            return 0.0
        if self.years and moment.year not in self.years:
            return 0.0
        if self.months and moment.month not in self.months:
            return 0.0
        near = bool(self.months) and any(abs(moment.day - day) <= 7 for day in self.days)  # noqa: PLR2004
        return 2.0 if near else 1.0


def understood(text: str, names: Sequence[str] = ()) -> Question:
    """Reads a question; `names` are those of the speakers in the user's log."""
    low = text.casefold()
    named = [n for n in names if re.search(rf"\b{re.escape(n.casefold())}\b", low)]
    broad = bool(_BROAD.search(text))
    searched = _without_names(text, names)
    searched = _focused(searched) if broad else searched
    request = bool(_REQUEST.search(text)) and not broad and not _ASKS_ASSISTANT.search(text)
    return Question(
        text,
        searched,
        speaker=named[0] if len(named) == 1 else None,
        request=request,
        broad=broad,
        months=_months(low),
        years=tuple(int(year) for year in re.findall(r"\b(20\d\d)\b", low)),
        days=_days(low),
    )


def _without_names(text: str, names: Sequence[str]) -> str:
    """Removes names, which say little and pull the vector to all turns of their owners."""
    left = text
    for name in names:
        owned = rf"\b{re.escape(name)}(?:['\u2019]s)?(?=\W|$)"
        left = re.sub(owned, " ", left, flags=re.IGNORECASE)
    left = re.sub(r"\s+([?.,!])", r"\1", " ".join(left.split()))
    return left if re.search(r"\w", left) else text


def _focused(text: str) -> str:
    left = text
    for pattern in _ABOUT_THE_TALK:
        left = pattern.sub(" ", left)
    left = re.sub(r"\s+([?.,!])", r"\1", " ".join(left.split())).strip(" ,.?!")
    return left if len(re.findall(r"\w+", left)) >= _FEWEST_WORDS else text


def _months(low: str) -> tuple[int, ...]:
    # "may" is a month only where a preposition or a number says so.
    dated = re.search(r"\b(?:in|of|on|since|during|\d) may\b|\bmay,? \d", low)
    named = re.findall(rf"\b(?:{_MONTH})\b", low)
    return tuple(_MONTHS.index(m) + 1 for m in named if m != "may" or dated)


def _days(low: str) -> tuple[int, ...]:
    before = re.findall(rf"\b(\d{{1,2}})(?:st|nd|rd|th)?,? (?:of )?(?:{_MONTH})\b", low)
    after = re.findall(rf"\b(?:{_MONTH}) (\d{{1,2}})\b", low)
    return tuple(int(day) for day in (*before, *after))
