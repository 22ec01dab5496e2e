"""Reads changes of life: moves, jobs, and what began and ended."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from extractors.reading.date_rules import number_of
from extractors.reading.english.claims import (
    NO,
    YES,
    Aspect,
    Claim,
    Said,
    valued,
)
from extractors.reading.english.everyday import everyday
from extractors.reading.english.grammar import Tense
from extractors.reading.english.patterns import JOB, ORG, PLACE
from extractors.reading.english.places import is_place
from extractors.reading.english.verbs import FORMS
from extractors.reading.english.wording import (
    normal,
    slug,
    stands_alone,
    without_dates,
)
from memory.models import Stance

_DONE = frozenset({Tense.PAST, Tense.PERFECT})
_AS_JOB = rf"as\s{JOB.replace('<v>', '<job>')}"


def began(said: Said, attribute: str, value: str, predicate: str) -> Claim:
    """Returns the claim of a value that holds since the time the clause names."""
    claim = Claim(said.named(attribute), normal(value), said.about(predicate))
    return replace(claim, aspect=Aspect.EVENT, importance=0.9, confidence=0.9, times=said.text)


def _ended(said: Said, attribute: str, value: str | None, predicate: str) -> Claim:
    """The claim of a value that held until the time the clause names; None: every value."""
    return Claim(
        said.named(attribute),
        normal(value) if value else "",
        said.about(predicate),
        aspect=Aspect.EVENT,
        stance=Stance.CONTRADICTS,
        importance=0.7,
        times=said.text,
    )


def _done(said: Said) -> bool:
    return said.tense in _DONE and not said.group.denied


# Where they live ----------------------------------------------------------------------------------

_ROUTE = re.compile(
    rf"(?:back\s|here\s|away\s)?(?:from\s{PLACE.replace('<v>', '<left>')})?\s?"
    rf"(?:all the way\s|over\s|up\s|down\s|out\s|back\s)?(?:to\s{PLACE})?"
)
_GREW_UP = re.compile(rf"up\sin\s{PLACE}")


def _move(said: Said) -> Iterator[Claim]:
    route = _ROUTE.match(said.rest) if _done(said) else None
    if route and not all(_placed(said, route, end) for end in ("left", "v")):
        route = None
    if route and route["left"]:
        yield _ended(said, "lives_in", route["left"], f"no longer lives in {route['left']}")
    if route and route["v"]:
        yield began(said, "lives_in", route["v"], f"lives in {route['v']}")
    yield from everyday(said)


def _placed(said: Said, route: re.Match[str], end: str) -> bool:
    """Whether an end of a route is a place, or not named."""
    return route[end] is None or is_place(
        route[end], said.rest[route.end(end) :], said.core[: said.group.rest_start]
    )


def _grow(said: Said) -> Iterator[Claim]:
    up = _GREW_UP.match(said.rest) if _done(said) else None
    yield from ([valued(said, "grew_up_in", up["v"], said.text)] if up else everyday(said))


# Where they work ----------------------------------------------------------------------------------

_NEW_JOB = re.compile(
    r"(?:(?:working\s(?:at|for)|(?:an?|my|the)\s(?:new\s|full-time\s|part-time\s)?"
    rf"(?:job|role|position|internship)\s(?:at|with))\s{ORG})?\s?(?:(?:working\s)?{_AS_JOB})?"
)
_JOINED = re.compile(rf"{ORG}\s{_AS_JOB}")
_A_JOB = re.compile(r"(?:an?|my)\s.*\b(?:job|internship|position|role)\b")
_OLD_JOB = re.compile(
    rf"(?:my|the)\s(?:\w+\s)?(?:job|position|role)\b(?:\s(?:at|with)\s{ORG})?"
    r"|(?P<left>[A-Z][\w&'.-]+(?:\s[A-Z][\w&'.-]+)*)(?=$|,|\s(?:after|last|in|to|because))"
)
_FIRED = re.compile(rf"(?:fired|laid off|let go)\b(?:\sfrom\s{ORG})?")
_PROMOTED = re.compile(
    r"promoted\sto\s(?:an?\s|the\s)?(?P<v>[\w -]+?)(?=\s(?:at|in|last|on)\b|,|$)"
)


def _start(said: Said) -> Iterator[Claim]:
    job = (_JOINED if said.group.verb == "join" else _NEW_JOB).match(said.rest)
    if job and _done(said):
        if job["v"]:
            yield began(said, "works_at", job["v"], f"works at {job['v']}")
        if job["job"]:
            yield began(said, "job_title", job["job"], f"works as {_a(job['job'])}")
    yield from everyday(said)


def _leave(said: Said) -> Iterator[Claim]:
    if _STOPPED.match(said.rest):
        yield from _stop(said)
        return
    job = _OLD_JOB.match(said.rest) if _done(said) else None
    if job:
        where = job["v"] or job["left"]
        predicate = f"no longer works at {where}" if where else "no longer has that job"
        yield _ended(said, "works_at", where, predicate)
    yield from everyday(said)


# Stages of life -----------------------------------------------------------------------------------

_STAGE = re.compile(r"(?P<v>married|engaged|divorced|separated)\b(?!\s(?:with|by|to the))")
_GOT = re.compile(r"(?:an?|my|two|three|some|to|accepted|back from|hurt|injured|sick)\b")
_AGE = re.compile(
    r"(?P<v>\d{1,3}|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)\b(?!\s?(?:%|degrees|[ap]m))"
)


def _get(said: Said) -> Iterator[Claim]:
    if _A_JOB.match(said.rest):
        yield from _start(said)
        return
    status = list(_status(said)) if _done(said) else []
    yield from status
    if status or _GOT.match(said.rest):
        yield from everyday(said)


def _status(said: Said) -> Iterator[Claim]:
    if stage := _STAGE.match(said.rest):
        yield began(said, "relationship_status", stage["v"], f"is {stage['v']}")
    elif fired := _FIRED.match(said.rest):
        yield _ended(said, "works_at", fired["v"], "no longer has that job")
    elif promoted := _PROMOTED.match(said.rest):
        yield began(said, "job_title", promoted["v"], f"works as {_a(promoted['v'])}")


def _turn(said: Said) -> Iterator[Claim]:
    age = _AGE.match(said.rest) if _done(said) else None
    if age:
        years = str(number_of(age["v"]))
        yield began(said, "age", years, f"is {years} years old")
    else:
        yield from everyday(said)


# What they use and do -----------------------------------------------------------------------------

_SWITCHED = re.compile(
    r"(?:over\s)?(?:from\s(?P<old>[\w.+#-]+(?:\s[\w.+#-]+){0,3}?)\s)?(?:over\s)?to\s"
    r"(?P<new>(?!an?\b|the\b|my\b)[\w.+#-]+"
    r"(?:\s(?!for\b|in\b|last\b|because\b|as\b|to\b)[\w.+#-]+){0,3})"
)
_STOPPED = re.compile(r"(?:up\s)?(?P<verb>\w+ing)\b\s?(?P<rest>.*)|up\s(?P<thing>\w.*)")


def _switch(said: Said) -> Iterator[Claim]:
    """`Switched from Slack to Teams`: stopped using one, uses the other."""
    found = _SWITCHED.match(said.rest) if _done(said) else None
    if found:
        old, new = found["old"], without_dates(found["new"])
        if old and stands_alone(old, words=0):
            yield _use(said, old, NO, f"no longer uses {old}")
        if said.group.verb == "switch" and stands_alone(new, words=0):
            yield _use(said, new, YES, f"uses {new}")
    yield from everyday(said)


def _use(said: Said, tool: str, value: str, predicate: str) -> Claim:
    claim = Claim(said.named(f"uses.{slug(tool)}"), value, said.about(predicate))
    return replace(claim, aspect=Aspect.EVENT, times=said.text)


def _stop(said: Said) -> Iterator[Claim]:
    """`Stopped eating meat`, `gave up coffee`: a habit that ended."""
    found = _STOPPED.match(said.rest) if _done(said) else None
    if not found:
        return
    known = FORMS.get((found["verb"] or "").lower())
    what = f"{known[0]} {found['rest']}".strip() if known else found["thing"]
    if what and stands_alone(what):
        name = said.named(f"habit.{slug(what)}")
        yield Claim(name, NO, said.text, aspect=Aspect.EVENT, importance=0.7)


def _a(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


CHANGES: dict[str, Callable[[Said], Iterator[Claim]]] = {
    **dict.fromkeys(("move", "relocate"), _move),
    **dict.fromkeys(("start", "join", "accept", "land"), _start),
    **dict.fromkeys(("leave", "quit", "lose", "give"), _leave),
    **dict.fromkeys(("switch", "migrate"), _switch),
    "get": _get,
    "grow": _grow,
    "stop": _stop,
    "turn": _turn,
}
"""Readers by verb."""
