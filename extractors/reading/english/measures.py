"""Reads attributes with a value: changing numbers, set dates, favourites, people's names."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from extractors.reading.dates import resolve
from extractors.reading.english.claims import (
    YES,
    Aspect,
    Claim,
    Found,
)
from extractors.reading.english.clauses import UNREAL, clause_end
from extractors.reading.english.grammar import capitalised, in_third_person
from extractors.reading.english.lexicon import KIN, any_of
from extractors.reading.english.wording import (
    addressed,
    normal,
    slug,
    stands_alone,
)
from memory.models import MemoryKind, Stance

_ANY_DAY = datetime(2000, 1, 1, tzinfo=UTC)  # where a date stands does not depend on the day
_DIGIT = re.compile(r"\d")
_OWNER = re.compile(r"\b(?:my|our|the)\s", re.IGNORECASE)


def measures(sentence: str, written: str, actor: str | None) -> Iterator[Found]:
    """Yields the valued attributes of a sentence; nothing from a supposition.

    `written` is the sentence with its quotations, which `sentence` masks.
    """
    if not _OWNER.search(sentence) or UNREAL.search(sentence):
        return
    if _DIGIT.search(sentence):
        yield from _numbers(sentence, actor)
    yield from _dates(sentence, actor)
    if "my " in sentence.lower():
        yield from _own(sentence, written, actor)
        yield from _favourites(sentence, written, actor)
        yield from _preferences(sentence, written, actor)
    yield from _people(sentence, actor)


def _told(text: str, actor: str | None) -> str:
    """`text` in the third person, its first owner named or left out."""
    text = re.sub(
        r"\b(?:my|our)\b", f"{actor}'s" if actor else "their", text, count=1, flags=re.IGNORECASE
    )
    text = in_third_person(" ".join(text.split()))
    if not actor:
        text = re.sub(r"\A(?:their|the)\s", "", text, count=1, flags=re.IGNORECASE)
    return capitalised(text)


# Numbers ------------------------------------------------------------------------------------------

_STOP = any_of("which that is are was has have and but so if")
_THING = (
    rf"(?P<of>(?:my|our|the)\s(?:(?!{_STOP}\b)[\w'/&+.-]+\s){{0,6}}?"
    rf"(?!{_STOP}\b|{any_of('just now currently it to i')}\b)[\w'/&+.-]+)"
)
_AMOUNT = (
    rf"(?P<v>(?:{any_of('about around over under nearly almost approximately roughly just')}\s)?"
    r"[$€£]?\d(?:[\d,.]*\d)?(?:\s?(?:%|"
    + any_of(
        "percent ms milliseconds millisecond seconds second s minutes minute mins min hours hour"
        " days day weeks week kb mb gb kg lbs lb km miles mile k m words pages sources commits calls"
        " points users followers dollars euros people members steps problems items"
    )
    + r"\b)(?:\s?/\s?\w+|\s(?:per|an?)\s\w+)?)?)"
)
_OLD = r"(?:from\s(?P<old>[$€£]?\d[\d,.]*\s?\S{0,12}?)\s)?"
_MOVED = any_of(
    "improved increased dropped grown grew risen rose fallen fell decreased jumped went gone_up"
    " gone_down gone went_up went_down been_reduced been_increased been_extended reduced"
)
_NUMBERS = (
    re.compile(
        rf"(?<![\w']){_THING},?\s(?:(?:which|that)\s)?(?:(?:has|have|had)\s)?"
        rf"(?:{any_of('now recently already just currently finally since')}\s)*"
        rf"(?:{_MOVED}\s{_OLD}to\s|reached\s|hit\s){_AMOUNT}",
        re.IGNORECASE,
    ),
    re.compile(
        rf"(?<![\w']){_THING}\s(?:is|are)\s(?:now|currently)\s"
        rf"(?:{any_of('at averaging down_to up_to around')}\s)?{_AMOUNT}",
        re.IGNORECASE,
    ),
    re.compile(
        rf"(?<![\w']){_THING}\s(?:now|currently)\s"
        rf"{any_of('averages averaging has takes costs is stands_at')}\s{_AMOUNT}",
        re.IGNORECASE,
    ),
    re.compile(
        r"(?<![\w'])i(?:'ve|\shave)?\s(?:(?:recently|just|already|also)\s)?"
        rf"{any_of('improved increased reduced raised boosted lowered cut brought')}\s{_THING}\s"
        rf"(?:up\s|down\s)?{_OLD}to\s{_AMOUNT}",
        re.IGNORECASE,
    ),
)


_PART = re.compile(r"\b(?:of|in|into|to|for|on|from|with|at|by)\s\Z")  # "commits in the branch"
_MORE = re.compile(
    rf"\s(?!{any_of('and but so or after by with for in on at since because to from as now')}\b)"
    rf"(?!{any_of('which that while when due thanks this last over within until if per a')}\b)[a-z]"
)


def _numbers(sentence: str, actor: str | None) -> Iterator[Found]:
    for pattern in _NUMBERS:
        found = pattern.search(sentence)
        if not found or _PART.search(sentence, 0, found.start()):
            continue
        if _MORE.match(sentence, found.end()) or addressed(found[0]):
            continue
        if slug(found["of"]) and stands_alone(found["of"]):
            text = f"{_told(found['of'], actor)}: {found['v'].strip()}"
            claim = Claim(slug(found["of"]), normal(found["v"]), text, importance=0.75)
            yield Found(claim, found.start(), found.end())


# Dates --------------------------------------------------------------------------------------------

_EVENT = any_of(
    "deadline sprint launch release meeting interview appointment wedding exam project presentation"
    " flight trip conference call review demo milestone surgery party event due_date submission"
    " workshop webinar defense graduation anniversary concert audition tournament race marathon mvp"
    " contract lease visa term semester course"
)
_SET = re.compile(
    rf"(?<![\w'])(?P<of>(?:my|our|the)\s(?:[\w'/&+-]+\s){{0,4}}?{_EVENT}(?:\s\d+)?"
    r"(?:\sfor\s[\w'-]++(?:\s[\w'-]++){0,4}?)?)\s(?P<how>"
    rf"is(?:\snow)?(?:\s{any_of('due scheduled set on in at by planned happening')})?"
    r"|ends?|starts?|begins?|starting|expires?|(?:now\s)?targets?(?:\s\w+){0,2}|takes place"
    rf"|(?:was|has been|got|is)\s(?:now\s)?"
    rf"{any_of('moved pushed postponed rescheduled extended changed delayed shifted brought_forward')}"
    r"(?:\sback)?)\s?(?P<when>(?:for|on|to|by|at|in|until|from)?\s?.{3,40})",
    re.IGNORECASE,
)
_DUE = re.compile(
    r"(?<![\w'])(?P<of>(?:my|our|the)\s(?:[\w'/&+-]+\s){0,3}?[\w'-]+)\s(?P<how>is(?:\snow)?\sdue)\s"
    r"(?P<when>(?:on|by|in)?\s?.{3,40})",
    re.IGNORECASE,
)
_ENDS = re.compile(r"ends?\b|expires?|(?:now )?targets?")
_STARTS = re.compile(r"start|begin")
_DEADLINE = re.compile(
    r"(?:my|our|the)\s(?P<what>.*?)\s?(?:deadline|due date)(?:\sfor\s(?P<for>.+))?", re.IGNORECASE
)
_SOON = 12  # characters up to the date: "scheduled for early next week", not one further on


def _dates(sentence: str, actor: str | None) -> Iterator[Found]:
    for found in (*_SET.finditer(sentence), *_DUE.finditer(sentence)):
        mentions = resolve(found["when"], _ANY_DAY)
        if mentions and mentions[0].start <= _SOON:
            end = found.start("when") + mentions[0].end
            text = _told(sentence[found.start() : end], actor)
            claim = Claim(_date_name(found["of"], found["how"]), "", text, aspect=Aspect.PLAN)
            yield Found(replace(claim, importance=0.8, value_is_date=True), found.start(), end)


def _date_name(thing: str, how: str) -> str:
    deadline = _DEADLINE.fullmatch(thing)
    if deadline:
        what = slug(" ".join(part for part in deadline.group("what", "for") if part))
        return f"deadline.{what}" if what else "deadline"
    part = "ends" if _ENDS.match(how) else "starts" if _STARTS.match(how) else "date"
    return f"{slug(thing)}.{part}"


# What is called "my …" ----------------------------------------------------------------------------

_AIMS = any_of("goal main_goal ultimate_goal dream dream_job aim target limit preference")
_OWN = re.compile(
    rf"(?<![\w'])my\s(?P<what>(?P<aim>{_AIMS})|"
    + any_of(
        "name first_name last_name full_name surname nickname birthday birth_date age email_address"
        " email phone_number address hometown home_town time_zone timezone pronouns native_language"
        " mother_tongue first_language nationality blood_type height weight salary budget job_title"
        " new_job current_job job new_role current_role role title profession occupation major"
        " degree main_hobby hobby specialty speciality diet zodiac_sign star_sign religion allergy"
        " preferred_language tech_stack stack editor manager boss employer company team school"
        " university passion motto username handle order_number account_number"
    )
    + r")(?:\sfor\s(?P<for>[\w' -]{2,40}?))?(?:\s(?:is|are)|(?<=name)'s)\s"
    r"(?:(?:now|currently|actually|still)\s)*(?P<v>[^,;!?\n]{1,120})",
    re.IGNORECASE,
)
_NO_VALUE = re.compile(
    any_of(
        "not so really very too pretty great good going getting being coming the_one on_point"
        " killing all_about like also always never that what why how important amazing awesome hard"
        " tough set just everything a_bit a_little kind_of asking calling due on at in by"
    )
    + r"\b",
    re.IGNORECASE,
)
_SHAPES = {
    "age": re.compile(r"\d"),
    "email": re.compile(r"\S+@"),
    "email_address": re.compile(r"\S+@"),
    "name": re.compile(r"[A-Z\ufffc]"),
}


def _own(sentence: str, written: str, actor: str | None) -> Iterator[Found]:
    for found in _OWN.finditer(sentence):
        end = clause_end(sentence, found.start("v") - 2) or found.end()
        value = written[found.start("v") : end].strip()
        if not value or _NO_VALUE.match(value) or not stands_alone(value, words=0):
            continue
        what = slug(found["what"])
        shape = _SHAPES.get(what)
        if shape and not shape.match(value) and sentence != sentence.lower():
            continue
        name = f"{what}.{slug(found['for'])}" if found["for"] else what
        text = _told(written[found.start() : end], actor)
        claim = Claim(name, normal(value), text, importance=0.85)
        yield Found(replace(claim, single_valued=not found["aim"]), found.start(), end)


# Favourites and preferences -----------------------------------------------------------------------

_FAVOURITE = re.compile(
    r"(?<![\w'])my\s(?:(?:all[- ]time|absolute|personal|new|current|latest|present)\s)*favou?rite\s"
    r"(?P<what>(?!one\b)[\w' -]{2,40}?)\s(?:is|are|has to be|has always been|'s|would be)\s"
    r"(?:(?:now|currently|this|these)\s)?"
    r"(?P<v>[^.,;!?]{2,60})",
    re.IGNORECASE,
)
_ONE_FAVOURITE = re.compile(
    r"(?:\A\s*|[,;]\s)(?P<v>(?!(?:it|that|this|they|he|she|one|which|these|those|what)\b)"
    r"[\w'\ufffc&:. -]{2,50}?)\s(?:is|are|'s|was|were)\s"
    rf"(?:{any_of('definitely probably easily still also always totally')}\s)*"
    r"(?:(?:one|some)\sof\s)?my\s(?:(?:all[- ]time|absolute|personal)\s)?"
    r"(?:favou?rites?|go-to|comfort food|passion)\b(?:\s[\w -]{2,30})?",
    re.IGNORECASE,
)
_PREFERENCE_FOR = re.compile(
    r"(?<![\w'])my (?:(?:strong|clear|personal) )?preference for (?P<v>\w)", re.IGNORECASE
)


def _favourites(sentence: str, written: str, actor: str | None) -> Iterator[Found]:
    for found in _FAVOURITE.finditer(sentence):
        value = _NOW.sub("", written[slice(*found.span("v"))]).strip()
        if _NO_MORE.match(value) and slug(value):
            yield Found(_no_favourite(found, value, actor), found.start(), found.end())
        elif stands_alone(value, words=0) and not _NO_VALUE.match(value):
            text = _told(written[slice(*found.span())], actor)
            claim = Claim(f"favourite.{slug(found['what'])}", normal(value), text)
            claim = replace(claim, kind=MemoryKind.PREFERENCE, importance=0.8)
            yield Found(claim, found.start(), found.end())
    for found in _ONE_FAVOURITE.finditer(sentence):
        value, start = written[slice(*found.span("v"))].strip(), found.start("v")
        if stands_alone(value) and slug(value):
            end = min(clause_end(sentence, start) or found.end(), found.end())
            text = _told(written[start:end], actor)
            claim = Claim(f"taste.{slug(value)}", "likes", text)
            claim = replace(claim, kind=MemoryKind.PREFERENCE, importance=0.7)
            yield Found(claim, start, end)


_NOW = re.compile(
    r"\s(?:now|these days|nowadays|currently|at the moment|lately)\s*\Z", re.IGNORECASE
)
_NO_MORE = re.compile(r"(?:no longer|not)\s", re.IGNORECASE)


def _no_favourite(found: re.Match[str], value: str, actor: str | None) -> Claim:
    """`My favourite player is no longer Messi`."""
    former = _NO_MORE.sub("", value)
    return Claim(
        f"favourite.{slug(found['what'])}",
        normal(former),
        _told(found[0], actor),
        kind=MemoryKind.PREFERENCE,
        stance=Stance.CONTRADICTS,
        importance=0.8,
    )


def _preferences(sentence: str, written: str, actor: str | None) -> Iterator[Found]:
    for found in _PREFERENCE_FOR.finditer(sentence):
        end = clause_end(sentence, found.start()) or found.end()
        value = written[found.start("v") : end]
        if value and stands_alone(value):
            text = f"{actor} prefers {value}" if actor else f"Prefers {value}"
            claim = Claim(f"prefers.{slug(value)}", YES, text, MemoryKind.PREFERENCE)
            yield Found(replace(claim, importance=0.8), found.start(), end)


# People -------------------------------------------------------------------------------------------

_ONE_PERSON = "|".join(sorted((k for k in KIN if not k.endswith("s")), key=len, reverse=True))
_PEOPLE = re.compile(
    r"(?<![\w'])(?i:my|our)\s"
    r"(?:(?:older|younger|little|big|best|oldest|youngest|twin|new|close|good|dear|academic|former"
    rf"|old)\s)*(?P<kin>(?i:{_ONE_PERSON})),?\s"
    r"(?P<name>[A-ZÀ-Þ][a-zà-ÿ]+(?:\s[A-ZÀ-Þ][a-zà-ÿ]+)?)(?!'s|\w|-)"
)
_NO_NAMES = frozenset(("is", "was", "has", "the", "and", "who", "in", "at", "on", "we", "my"))


def _people(sentence: str, actor: str | None) -> Iterator[Found]:
    for found in _PEOPLE.finditer(sentence):
        kin, name = found["kin"].lower(), found["name"]
        if name.split()[0].lower() not in _NO_NAMES:
            whose = f"{actor}'s {kin}" if actor else capitalised(kin)
            claim = Claim(f"{slug(kin)}.name", normal(name), f"{whose} is called {name}")
            claim = replace(claim, single_valued=False, importance=0.7)
            yield Found(claim, found.start(), found.end())
