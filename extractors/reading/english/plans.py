"""Reads what people plan, want, decide and try to do."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from extractors.reading.english.claims import (
    Aspect,
    Claim,
    Said,
    either,
)
from extractors.reading.english.grammar import Tense
from extractors.reading.english.lexicon import any_of
from extractors.reading.english.verbs import (
    FORMS,
    USES,
    Form,
    Use,
)
from extractors.reading.english.wording import addressed, stands_alone
from memory.models import MemoryKind

_DONE = frozenset({Tense.PAST, Tense.PERFECT})
_UNDER_WAY = frozenset({Tense.ONGOING, Tense.PERFECT_ONGOING})
_ATTRIBUTES = {
    "plan": "plans", "intend": "plans", "look": "plans", "prepare": "plans", "need": "plans",
    "aim": "aims_to", "hope": "hopes", "want": "wants", "wish": "wants", "like": "wants",
    "love": "wants", "think": "considers", "consider": "considers", "dream": "dreams",
    "decide": "decided", "choose": "decided", "agree": "decided",
}  # fmt: skip
_TO_DO = re.compile(r"(?:to|on|of|about)\s(?:\w+ly\s|also\s|just\s)?(?P<verb>\w+)\b(?P<rest>.*)")
_DOING = re.compile(r"(?P<verb>\w+)\b(?P<rest>.*)")
_PLANNED_THING = re.compile(
    r"(?:on\s)?(?:an?|my|our|another|the)\s(?P<v>[\w' -]*\b"
    + any_of(
        "trip vacation holiday party wedding event getaway visit move tour retreat reunion"
        " fundraiser launch camping surprise hike meetup workshop gathering tournament dinner picnic"
        " celebration festival show competition"
    )
    + r"\b.*)"
)
_WEIGHED = re.compile(
    r"(?:(?:an?|my|our|another)\s|(?=relocation)|for\s(?:an?\s|the\s)?(?=[^,]*\d))(?P<v>\w.*)",
    re.IGNORECASE,
)
_LIGHT = re.compile(  # what follows the verb and makes a phrase of it ("make sure", "take a look")
    r"\s*(?:in(?=\s(?:and|with|on)\b|\W*\Z)|an?\s(?:idea|look|chat|try|go)"
    r"|an?\s(?:good|great|big|lasting|positive|real)\s(?:impact|impression|difference|decision)|"
    + any_of(
        "sure sense it that this them there some something more better up_with a_difference"
        " with from_my progress back through in_touch going the_most things a_sense"
    )
    + r")\b",
    re.IGNORECASE,
)


def meant(said: Said) -> Iterator[Claim]:
    """`Plan to visit Japan`, `thinking of moving`, `decided to quit`."""
    group = said.group
    if group.never or said.tense in {Tense.USED_TO, Tense.PAST_ONGOING} or addressed(said.rest):
        return
    if said.tense is Tense.MODAL and group.verb not in {"like", "love"}:
        return
    yield from _thing(said) if _is_thing(said) else _action(said)


def intended(said: Said) -> Iterator[Claim]:
    """`I'm going to visit Japan`; `I'll visit Japan next week` only with its time."""
    verb, rest = said.group.verb, said.rest
    if Use.PLAN not in USES.get(verb, Use(0)) or said.group.never:
        return
    firm = said.tense is not Tense.FUTURE or said.dated
    if firm and not _LIGHT.match(rest) and stands_alone(rest):
        yield _plan(either(said, "plans", f"{verb} {said.written}", said.text))


def _is_thing(said: Said) -> bool:
    if said.group.verb == "plan" and _PLANNED_THING.match(said.rest):
        return said.tense not in _DONE
    weighing = said.group.verb in {"plan", "consider", "aim"} and said.tense in _UNDER_WAY
    return weighing and bool(_WEIGHED.match(said.rest))


def _thing(said: Said) -> Iterator[Claim]:
    """`Planning a trip to Oslo`, `considering a two-column layout`, `aiming for 90%`."""
    verb = said.group.verb
    planned = _PLANNED_THING.match(said.rest) if verb == "plan" else None
    thing = planned or _WEIGHED.match(said.rest)
    if not thing or (verb == "plan" and not planned and not said.dated):
        return
    if stands_alone(thing["v"], words=1 if planned else 2):
        yield _plan(either(said, _ATTRIBUTES[verb], thing["v"], said.text))


def _action(said: Said) -> Iterator[Claim]:
    verb, attribute = said.group.verb, _ATTRIBUTES[said.group.verb]
    if verb == "need" and not said.dated:
        return
    if attribute != "decided" and said.tense in _DONE:
        return
    found = _TO_DO.match(said.rest) or (_DOING.match(said.rest) if verb == "consider" else None)
    if not found:
        return
    lemma, forms = FORMS.get(found["verb"].lower(), ("", Form(0)))
    rest = said.written[found.start("rest") : found.end("rest")]
    doable = Use.PLAN in USES.get(lemma, Use(0)) and forms & (Form.LEMMA | Form.ING)
    if doable and not _LIGHT.match(rest) and stands_alone(rest):
        claim = either(said, attribute, f"{lemma} {rest}", said.text)
        aspect = Aspect.EVENT if attribute == "decided" else Aspect.PLAN
        yield replace(claim, aspect=aspect, importance=0.7 if said.dated else 0.6)


def _plan(claim: Claim) -> Claim:
    return replace(claim, aspect=Aspect.PLAN, importance=0.7)


# Trying -------------------------------------------------------------------------------------------

_PROJECT = re.compile(
    r"to\s(?P<v>(?:initiali[sz]e|"
    + any_of(
        "build create set_up launch develop design start open learn become deploy implement"
        " integrate migrate publish write finish complete raise adopt grow get_into get_pregnant"
        " improve_my balance_my promote expand finalize"
    )
    + r")\b.+)"
)
_TRIED = re.compile(r"(?!(?:to|new|my best|different|hard|everything)\b)(?P<v>\w.+)")
_KEPT = re.compile(
    r"to\s(?P<v>(?:keep\b(?!\s(?:going|pushing|working|trying|up|on|doing|writing|moving|positive"
    r"|my head))|stay\s(?:under|within|below|in shape|healthy|fit|active|sober|on)|minimi[sz]e|limit"
    r"|reduce|avoid|cut|save|lose|quit)\b.+)"
)


def _try(said: Said) -> Iterator[Claim]:
    """Someone's work (`trying to build a shed`) or limits (`under 100 KB`)."""
    if said.tense not in _UNDER_WAY or addressed(said.rest):
        return
    if found := _PROJECT.match(said.rest):
        if _understood(found["v"], words=2):
            yield replace(either(said, "doing", found["v"], said.text), importance=0.5)
    elif found := _KEPT.match(said.rest):
        if _understood(found["v"], words=1):
            claim = replace(either(said, "aims_to", found["v"], said.text), importance=0.65)
            yield replace(claim, kind=MemoryKind.PREFERENCE)
    elif _TRIED.match(said.rest) and stands_alone(said.rest):
        yield replace(either(said, "doing", f"try {said.written}", said.text), importance=0.5)


def _understood(action: str, *, words: int) -> bool:
    verb, _, rest = action.partition(" ")
    return bool(verb) and stands_alone(rest, words=words)


PLANS: dict[str, Callable[[Said], Iterator[Claim]]] = {
    **dict.fromkeys(_ATTRIBUTES.keys() - {"like", "love"}, meant),
    "try": _try,
}
"""Readers by verb."""
