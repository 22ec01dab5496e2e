"""Reads what people are and have: names, ages, jobs, family, possessions, appointments."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from extractors.reading.english.changes import began
from extractors.reading.english.claims import (
    NO,
    YES,
    Aspect,
    Claim,
    Said,
    either,
    valued,
)
from extractors.reading.english.everyday import event
from extractors.reading.english.grammar import Tense
from extractors.reading.english.lexicon import KIN, OCCUPATIONS, any_of
from extractors.reading.english.patterns import NAME, ORG, PLACE
from extractors.reading.english.repair import is_state
from extractors.reading.english.tastes import liking
from extractors.reading.english.wording import (
    normal,
    slug,
    stands_alone,
    without_dates,
)

_DONE = frozenset({Tense.PAST, Tense.PERFECT})
_AGES = range(4, 111)


# Being --------------------------------------------------------------------------------------------

_BEEN_TO = re.compile(rf"to\s{PLACE}")
_AGE = re.compile(
    r"(?:(?:now|only|already|turning)\s)?(?P<v>\d{1,3})"
    r"(?:[\s-]years?[\s-]old|\s?y/?o\b|(?=$|,|\sand\b|\snow\b))"
)
_CALLED = re.compile(rf"(?:called|named)\s{NAME}")
_I_AM = re.compile(rf"{NAME}(?=$|,|\sand\b|\sfrom\b)")
_NO_NAME = re.compile(
    r"(?:\w+(?:ish|ese|ian|ean|ican)|"
    + any_of(
        "German French Dutch Greek Swiss Thai Catholic Muslim Jewish Hindu Buddhist Sikh Arab"
        " Latino Latina Vegan Asian Black White Native Gay Deaf Mom Dad Mum CEO CTO CFO VP PM QA HR"
        " OK INTJ INFJ ENFP TBH LGBTQ ADHD In At On So Not A The Sorry Very"
    )
    + r")\b"
)
_ROLE = re.compile(
    r"(?:an?|the|head|lead|chief)\s(?P<v>[^,]*?)(?=\s"
    + any_of(
        "at for in with on from based by who since and now here of myself too specialising"
        " specializing working living looking trying eager but"
    )
    + r"\b|,|$)"
)
_AT_ORG = re.compile(rf"\s(?:here\s)?(?:at|for|with)\s{ORG}")
_BORN = re.compile(r"born\s(?:and raised\s)?(?:on|in)\s(?P<v>.+)")
_MADE = re.compile(
    r"(?:made|appointed|named|promoted\sto|hired\sas)\s(?:(?:an?|the)\s)?"
    r"(?P<v>(?:\w+\s){0,3}(?:lead|head|manager|director|partner|president|chair|officer|supervisor"
    r"|editor|producer|engineer|captain|principal))\b"
)
_DAY = re.compile(r"\b\d{1,2}\b")
_LIKING = re.compile(
    r"(?:not\s)?(?:an?\s)?"
    rf"(?:{any_of('really so totally huge big massive real always long-time long_time super')}\s)*"
    rf"{any_of('fan_of into obsessed_with crazy_about hooked_on addicted_to fond_of')}\s(?P<v>.+)"
)
_SKILLED = re.compile(
    r"(?:(?:really|very|pretty|quite)\s)?(?P<how>good|great|bad|terrible)\sat\s(?P<v>.+)"
)


def _be(said: Said) -> Iterator[Claim]:
    if said.tense is Tense.PAST:
        yield from _born(said)
    elif said.tense is Tense.PERFECT and (visited := _BEEN_TO.match(said.rest)):
        name = said.named(f"visited.{slug(visited['v'])}")
        yield Claim(name, NO if said.group.denied else YES, said.text, aspect=Aspect.EVENT)
    elif not said.group.never:
        yield from _first(said, _aged, _liked, _skilled, _employed, _identified)


def _first(said: Said, *readers: Callable[[Said], Iterator[Claim]]) -> Iterator[Claim]:
    """The claims of the first reader that makes any."""
    yield from next((claims for read in readers if (claims := list(read(said)))), [])


def _born(said: Said) -> Iterator[Claim]:
    made = _MADE.match(said.rest) if not said.group.denied else None
    if made:
        yield began(said, "job_title", made["v"], f"is {made['v']}")
    found = _BORN.match(said.rest)
    if not found or said.group.denied:
        return
    place = re.match(PLACE, found["v"])
    if place:
        yield valued(said, "born_in", place["v"], said.text)
    elif without_dates(found["v"]) != found["v"]:
        name = "birthday" if _DAY.search(found["v"]) else "birth_date"
        yield replace(valued(said, name, found["v"], said.text), importance=0.8)


def _aged(said: Said) -> Iterator[Claim]:
    found = _AGE.match(said.rest)
    stated = found and said.tense is Tense.PRESENT and not said.group.denied
    if found and stated and int(found["v"]) in _AGES:
        text = said.about(f"is {found['v']} years old")
        yield replace(valued(said, "age", found["v"], text), importance=0.8)


def _liked(said: Said) -> Iterator[Claim]:
    found = _LIKING.match(said.rest)
    if found and said.tense in {Tense.PRESENT, Tense.PERFECT}:
        yield from liking(said, said.written[found.start("v") :], disliked=False)


def _skilled(said: Said) -> Iterator[Claim]:
    found = _SKILLED.match(said.rest)
    if found and said.tense is Tense.PRESENT and stands_alone(found["v"]):
        yield either(said, f"{found['how']}_at", found["v"], said.text)


def _employed(said: Said) -> Iterator[Claim]:
    role = _ROLE.match(said.rest)
    if not role or said.tense is not Tense.PRESENT:
        return
    head = re.split(r"[\s/-]", role["v"].lower())[-1]
    if head not in OCCUPATIONS:
        return
    yield replace(valued(said, "job_title", role["v"], said.text), importance=0.9)
    where = _AT_ORG.match(said.rest, role.end())
    if where and not said.group.denied:
        yield began(said, "works_at", where["v"], f"works at {where['v']}")


def _identified(said: Said) -> Iterator[Claim]:
    if said.subject.relation:
        called = _CALLED.match(said.rest)
        if called:
            yield valued(said, "name", called["v"], said.text)
        return
    name = _I_AM.match(said.rest)
    stated = said.tense is Tense.PRESENT and not said.group.denied and not said.subject.plural
    if name and stated and _names(name, said):
        claim = valued(said, "name", name["v"], said.about(f"is called {name['v']}"))
        yield replace(claim, importance=0.95)


_GREETED = re.compile(
    r"\b(?:hi|hello|hey|hiya|greetings|good (?:morning|afternoon|evening|day)|howdy|nice to meet you"
    r"|pleased to meet you|intro\w*|name|call me|we haven't met)\b",
    re.IGNORECASE,
)
_INTRODUCED = re.compile(
    r"(?:,\s(?:an?|the|your|from|and|\d)|\sfrom\s|\sand\s(?:i|my|this)\b)", re.IGNORECASE
)


def _names(name: re.Match[str], said: Said) -> bool:
    """Whether "I'm …" gives a name: no word of the language, and said as people introduce themselves."""
    if _NO_NAME.match(said.rest) or is_state(name["v"]):
        return False
    whole = len(name["v"].split()) > 1
    return whole or bool(_GREETED.search(said.before) or _INTRODUCED.match(said.rest, name.end()))


# Having -------------------------------------------------------------------------------------------

_OWNED = re.compile(
    r"(?P<count>an?|one|two|three|four|five|six|seven|eight|nine|ten|\d{1,2}|no|any|several"
    r"|a couple of)\s(?P<v>(?:[\w-]+\s){0,3}?(?P<head>"
    + any_of(" ".join(sorted(KIN, key=len, reverse=True)))
    + "|"
    + any_of(
        "siblings brothers sisters sons daughters twins cousins grandchildren grandkids cats kitty kittens"
        " puppies parrots car bike bicycle motorcycle truck house apartment flat garden boat piano"
        " guitar violin degree phd masters master mba license licence allergy allergies blog podcast"
        " youtube_channel business startup company store shop studio tattoos tattoo condition job"
        " internship scholarship visa passport subscription collection background experience"
        " years_of_experience diploma certificate certification gym_membership laptop mac iphone"
        " macbook"
    )
    + r"))\b",
    re.IGNORECASE,
)
_AND_ALSO = re.compile(r",?\s(?:and|plus|&)\s(?=an?\s|one\s|two\s|three\s|\d)")
_CALLED_LATER = re.compile(rf",?\s(?:(?:called|named)\s)?{NAME}(?=,|$|\s(?:and|who)\b)")
_ILLNESS = re.compile(
    r"(?P<v>(?:an?\s)?(?:\w+\s)?allerg(?:y|ies)\sto\s.+|"
    + any_of(
        "asthma diabetes adhd anxiety depression arthritis migraines insomnia celiac_disease eczema"
        " epilepsy dyslexia autism hypertension high_blood_pressure"
    )
    + r"\b)",
    re.IGNORECASE,
)
_GOOD_TIME = re.compile(r"(?:an?|such an?|so much)\s(?:\w+\s){0,2}(?:time|fun|blast|day)\s\w+ing\b")
_DEADLINE = re.compile(r"(?:an?|the|my|our)\s(?P<what>(?:[\w-]+\s){0,3}?)deadline\b(?P<more>.*)")
_GOAL = re.compile(r"\b(?:to|for)\s(?P<what>\w.*)")
_APPOINTMENT = re.compile(
    r"(?:an?|the|my|our|another|two|three|some)\s(?P<v>(?:[\w'-]+\s){0,4}?"
    + any_of(
        "meeting appointment interview call exam test presentation flight trip conference workshop"
        " session game tournament show party wedding audition race match surgery lesson class event"
        " concert competition gig festival date performance recital photoshoot shoot deadline demo"
        " launch review webinar retreat hike"
    )
    + r"s?\b.*)",
    re.IGNORECASE,
)


def _have(said: Said) -> Iterator[Claim]:
    if said.tense is Tense.PRESENT and not said.group.never:
        yield from _first(said, _deadline, _ill, _owning, _appointment)
    elif said.tense in _DONE and not said.group.denied and _happened(said):
        yield from event(said)


def _happened(said: Said) -> bool:
    return said.dated or bool(_APPOINTMENT.match(said.rest) or _GOOD_TIME.match(said.rest))


def _deadline(said: Said) -> Iterator[Claim]:
    found = _DEADLINE.match(said.rest)
    if found and said.dated:
        goal = _GOAL.search(without_dates(found["more"]))
        what = slug(f"{found['what']} {goal['what'] if goal else ''}")
        claim = Claim(f"deadline.{what}" if what else "deadline", "", said.text)
        yield replace(claim, aspect=Aspect.PLAN, importance=0.8, value_is_date=True)


def _ill(said: Said) -> Iterator[Claim]:
    found = _ILLNESS.match(said.rest)
    if found:
        yield replace(either(said, "has", found["v"], said.text), importance=0.85)


def _owning(said: Said) -> Iterator[Claim]:
    at = 0 if stands_alone(said.rest) else len(said.rest)
    while found := _OWNED.match(said.rest, at):
        further = _AND_ALSO.search(said.rest, found.end())
        yield from _owned(said, found, further.start() if further else len(said.rest))
        at = further.end() if further else len(said.rest)


def _owned(said: Said, found: re.Match[str], end: int) -> Iterator[Claim]:
    count = found["count"].lower()
    claim = either(said, "has", found["v"], said.told(said.written[found.start() : end]))
    if count == "no":
        claim = replace(claim, value=NO)
    elif claim.value == YES and count not in {"a", "an", "any"}:
        claim = replace(claim, value=count)
    yield replace(claim, importance=0.7)
    named = _CALLED_LATER.match(said.written, found.end())
    if named and claim.value == YES:
        head, name = found["head"].lower(), named["v"]
        text = said.about(f"has a {head} called {name}")
        yield Claim(said.named(f"{slug(head)}.name"), normal(name), text, single_valued=False)


def _appointment(said: Said) -> Iterator[Claim]:
    found = _APPOINTMENT.match(said.rest)
    if found and said.dated and stands_alone(found["v"]):
        claim = either(said, "plans", found["v"], said.text)
        yield replace(claim, aspect=Aspect.PLAN, importance=0.7)


IDENTITY: dict[str, Callable[[Said], Iterator[Claim]]] = {"be": _be, "have": _have}
"""Readers by verb."""
