"""The rules for each form of date: patterns and calendar arithmetic behind `dates`.

A rule is a pattern and a reader. The reader turns a match into the first and last day it names, or
None if the words are not a date after all. `dates.resolve` states the conventions.
"""

import calendar
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July",
    "August", "September", "October", "November", "December",
)  # fmt: skip
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
SEASONS = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}
HOLIDAYS = {
    "new year's day": (1, 1),
    "valentine's day": (2, 14),
    "halloween": (10, 31),
    "christmas eve": (12, 24),
    "christmas day": (12, 25),
    "christmas": (12, 25),
    "new year's eve": (12, 31),
}
NUMBERS = {
    "a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7,
    "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14,
    "fifteen": 15, "sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19, "twenty": 20,
    "thirty": 30, "forty": 40, "fifty": 50, "a couple": 2, "couple": 2,
}  # fmt: skip
VAGUE = {"few": (2, 5), "several": (3, 8)}
YEARS = range(1900, 2100)
DAYS_IN_WEEK = 7
MONTHS_IN_YEAR = 12
FARTHEST = 3_000  # units; more is no date that anybody means, and would leave the calendar


class Grain(StrEnum):
    """The precision of a mention; SPAN is any other stretch of days."""

    DAY = "day"
    WEEKEND = "weekend"
    WEEK = "week"
    MONTH = "month"
    SEASON = "season"
    YEAR = "year"
    SPAN = "span"


class Leaning(StrEnum):
    """The direction in which a date without its year or week is read."""

    PAST = "past"
    FUTURE = "future"
    NEAREST = "nearest"


@dataclass(frozen=True, slots=True)
class Asked:
    """The day of the text, and how its tense leans."""

    today: date
    leaning: Leaning


@dataclass(frozen=True, slots=True)
class Days:
    """The result of a rule: first and last day, both included."""

    first: date
    last: date
    grain: Grain
    relative: bool


Reader = Callable[[re.Match[str], Asked], Days | None]


# Calendar arithmetic: the spans that have a name --------------------------------------------------


def one_day(day: date, *, relative: bool) -> Days:
    return Days(day, day, Grain.DAY, relative)


def week(day: date) -> Days:
    """Returns the week from Monday to Sunday that holds `day`."""
    monday = day - timedelta(days=day.weekday())
    return Days(monday, monday + timedelta(days=6), Grain.WEEK, relative=True)


def weekend(day: date) -> Days:
    """Returns Saturday and Sunday of the week that holds `day`."""
    saturday = day + timedelta(days=5 - day.weekday())
    return Days(saturday, saturday + timedelta(days=1), Grain.WEEKEND, relative=True)


def month(year: int, number: int, *, relative: bool) -> Days:
    last = calendar.monthrange(year, number)[1]
    return Days(date(year, number, 1), date(year, number, last), Grain.MONTH, relative)


def season(year: int, first_month: int, *, relative: bool) -> Days:
    """Returns the three months from `first_month` of `year`."""
    first = date(year, first_month, 1)
    return Days(first, _months_later(first, 3) - timedelta(days=1), Grain.SEASON, relative)


def whole_year(year: int, *, relative: bool) -> Days:
    return Days(date(year, 1, 1), date(year, 12, 31), Grain.YEAR, relative)


def back(day: date, number: int, unit: str) -> date:
    """Returns the day `number` units before `day`; a negative number goes forward."""
    if unit.startswith("day"):
        return day - timedelta(days=number)
    if unit.startswith("week"):
        return day - timedelta(weeks=number)
    return _months_later(day, -number * (1 if unit.startswith("month") else MONTHS_IN_YEAR))


def number_of(written: str) -> int | None:
    """Reads `7`, `seven`, `a couple of` as a number; None for other words and absurd sizes."""
    word = " ".join(written.lower().split()).removesuffix(" of")
    number = int(word) if word.isdecimal() else NUMBERS.get(word)
    return number if number is not None and number <= FARTHEST else None


def season_name(first_month: int) -> str:
    return next(name for name, first in SEASONS.items() if first == first_month)


def _months_later(day: date, months: int) -> date:
    year, index = divmod(day.year * MONTHS_IN_YEAR + day.month - 1 + months, MONTHS_IN_YEAR)
    return date(year, index + 1, min(day.day, calendar.monthrange(year, index + 1)[1]))


def _around(day: date, unit: str) -> Days:
    if unit.startswith("weekend"):
        return weekend(day)
    if unit.startswith("week"):
        return week(day)
    if unit.startswith("month"):
        return month(day.year, day.month, relative=True)
    if unit.startswith("year"):
        return whole_year(day.year, relative=True)
    return one_day(day, relative=True)


def _day_of_any_year(number: int, day: int, asked: Asked) -> date:
    years = range(asked.today.year - 1, asked.today.year + 2)
    options = [date(y, number, day) for y in years if day <= calendar.monthrange(y, number)[1]]
    if not options:
        raise ValueError(f"no year near {asked.today.year!r} has day {day!r} of month {number!r}")
    return _leaned(options, asked)


def _leaned(options: Sequence[date], asked: Asked) -> date:
    past = [d for d in options if d <= asked.today]
    coming = [d for d in options if d >= asked.today]
    nearest = min(options, key=lambda d: abs(d - asked.today))
    if asked.leaning is Leaning.PAST and past:
        leaned = max(past)
    elif asked.leaning is Leaning.FUTURE and coming:
        leaned = min(coming)
    else:
        leaned = nearest
    return leaned


# Readers: one per form ----------------------------------------------------------------------------


def _iso(match: re.Match[str], _: Asked) -> Days | None:
    if int(match["y"]) not in YEARS:
        return None
    return one_day(date(int(match["y"]), int(match["m"]), int(match["d"])), relative=False)


def _month_and_day(match: re.Match[str], asked: Asked) -> Days | None:
    if match["month"] == "may" and match[0][0].isdigit() and match[0].split()[0].isdecimal():
        return None  # "option 3 may work"
    number, first = _month_number(match), int(match["d"])
    day = (
        date(int(match["y"]), number, first)
        if match["y"]
        else _day_of_any_year(number, first, asked)
    )
    if match["d2"] is None:
        return one_day(day, relative=False)
    return Days(day, day.replace(day=int(match["d2"])), Grain.SPAN, relative=False)


def _month_of_year(match: re.Match[str], _: Asked) -> Days | None:
    return month(int(match["y"]), _month_number(match), relative=False)


def _month_alone(match: re.Match[str], asked: Asked) -> Days | None:
    number, today = _month_number(match), asked.today
    match _which(match):
        case "last":
            year = today.year if number < today.month else today.year - 1
        case "next":
            year = today.year if number > today.month else today.year + 1
        case "this":
            year = today.year
        case _ if number == today.month:
            year = today.year
        case _:
            year = _day_of_any_year(number, 15, asked).year
    return month(year, number, relative=_which(match) is not None)


def _season(match: re.Match[str], asked: Asked) -> Days | None:
    first, today = SEASONS[match["season"].lower()], asked.today
    if match["y"]:
        return season(int(match["y"]), first, relative=False)
    near = [season(y, first, relative=True) for y in range(today.year - 2, today.year + 3)]
    match _which(match):
        case "last":
            return [s for s in near if s.last < today][-1]
        case "next":
            return next(s for s in near if s.first > today)
        case "this":
            return min(near, key=lambda s: abs(s.first + timedelta(days=45) - today))
        case _:
            return None


def _year_alone(match: re.Match[str], _: Asked) -> Days | None:
    return whole_year(int(match["y"]), relative=False)


def _ago(match: re.Match[str], asked: Asked) -> Days | None:
    unit, words = match["unit"].lower(), match["n"].lower().split()
    vague = next((VAGUE[word] for word in words if word in VAGUE), None)
    if vague:
        near, far = vague
        span = back(asked.today, far, unit), back(asked.today, near, unit)
        return Days(*span, Grain.SPAN, relative=True)
    number = number_of(match["n"])
    if number is None:
        return None
    if unit.startswith("weekend"):  # the last weekend that is over is one weekend ago
        return weekend(asked.today - timedelta(weeks=number))
    return _around(back(asked.today, number, unit), unit)


def _ahead(match: re.Match[str], asked: Asked) -> Days | None:
    number, unit = number_of(match["n"]), match["unit"].lower()
    return None if number is None else _around(back(asked.today, -number, unit), unit)


def _past_span(match: re.Match[str], asked: Asked) -> Days | None:
    number = number_of(match["n"])
    if number is None:
        return None
    first = back(asked.today, number, match["unit"].lower())
    return Days(first, asked.today, Grain.SPAN, relative=True)


def _calendar_unit(match: re.Match[str], asked: Asked) -> Days | None:
    step = {"last": 1, "this": 0, "next": -1}[_which(match) or "this"]
    unit = match["unit"].lower()
    return _around(back(asked.today, step, unit), unit)


def _weekday(match: re.Match[str], asked: Asked) -> Days | None:
    text = match.string
    before = max(0, match.start() - _RANGE_CHARACTERS)
    if _OTHER_END.match(text, match.end()) or _OTHER_START.search(text, before, match.start()):
        return None  # "Monday to Friday" is every week
    names = [name.lower()[:3] for name in WEEKDAYS]
    wanted, today = names.index(match["weekday"].lower()[:3]), asked.today.weekday()
    since, until = (today - wanted) % DAYS_IN_WEEK, (wanted - today) % DAYS_IN_WEEK
    match _which(match):
        case "last":
            step = -(since or DAYS_IN_WEEK)
        case "next":
            step = DAYS_IN_WEEK - today + wanted
        case "this":
            step = until
        case _:
            step = until if asked.leaning is Leaning.FUTURE else -since
    return one_day(asked.today + timedelta(days=step), relative=True)


_RANGE_CHARACTERS = 24  # of `_OTHER_START`, at most
_DAY_NAME = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_OTHER_END = re.compile(rf"\s?(?:-|\u2013|to|through|and)\s?{_DAY_NAME}", re.IGNORECASE)
_OTHER_START = re.compile(rf"{_DAY_NAME}\s?(?:-|\u2013|to|through|and)\s?\Z", re.IGNORECASE)


def _near_day(match: re.Match[str], asked: Asked) -> Days | None:
    word = match["near"].lower()
    if word.endswith("before yesterday"):
        step = -2
    elif word.endswith("after tomorrow"):
        step = 2
    elif word.startswith(("yesterday", "last")):
        step = -1
    else:
        step = 1 if word.startswith("tomorrow") else 0
    return one_day(asked.today + timedelta(days=step), relative=True)


def _day_of_month(match: re.Match[str], asked: Asked) -> Days | None:
    today, wanted = asked.today, int(match["d"])
    step = 0
    if asked.leaning is Leaning.PAST and wanted > today.day:
        step = 1
    elif asked.leaning is Leaning.FUTURE and wanted < today.day:
        step = -1
    there = _months_later(today.replace(day=1), -step)
    return one_day(there.replace(day=wanted), relative=True)


def on_holiday(name: str, year: int | None, asked: Asked) -> date:
    """Returns the day of a holiday of `HOLIDAYS`, in the year to which the text leans if None."""
    number, day = HOLIDAYS[name]
    return date(year, number, day) if year else _day_of_any_year(number, day, asked)


def _holiday(match: re.Match[str], asked: Asked) -> Days | None:
    number, day = HOLIDAYS[match["holiday"].lower()]
    if match["y"]:
        return one_day(date(int(match["y"]), number, day), relative=False)
    which, today = _which(match), asked.today
    if which == "last":
        asked = replace(asked, today=today - timedelta(days=1), leaning=Leaning.PAST)
    elif which == "next":
        asked = replace(asked, today=today + timedelta(days=1), leaning=Leaning.FUTURE)
    return one_day(_day_of_any_year(number, day, asked), relative=True)


def _month_number(match: re.Match[str]) -> int:
    short = match["month"].lower()[:3]
    return next(n for n, name in enumerate(MONTHS, 1) if name.lower().startswith(short))


def _which(match: re.Match[str]) -> str | None:
    """`last`, `this` or `next`, in any spelling; None if neither."""
    if match["which"] is None:
        return None
    word = match["which"].lower().split()[-1]
    if word in {"last", "past", "previous"}:
        return "last"
    return "next" if word in {"next", "following"} else "this"


# Rules: the first that reads a stretch of text keeps it -------------------------------------------

_M = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_D = r"(?P<d>[0-3]?\d)(?:st|nd|rd|th)?"
_TO_D = r"(?:\s?(?:[-\u2013]|to|and)\s?(?P<d2>[0-3]?\d)(?:st|nd|rd|th)?)?"
_Y = r"(?P<y>(?:19|20)\d\d)\b"
_NO_DAY = r"(?![\d:%]|\s?(?:[ap]\.?m\b|o'clock|percent|times|points))"
NUMBER = (
    r"(?P<n>\d{1,4}|(?:a\s)?(?:couple|few)(?:\sof)?|several|an?|"
    + "|".join(sorted(NUMBERS.keys() - {"a", "an"}, key=len, reverse=True))
    + ")"
)
_UNIT = r"(?P<unit>(?:day|weekend|week|month|year)s?)"
_WHICH = r"(?P<which>this\s(?:past|last|coming)|last|this|next|past|previous|coming|following)"
_HOLIDAY = "(?P<holiday>" + "|".join(sorted(HOLIDAYS, key=len, reverse=True)) + ")"


def _rule(pattern: str, read: Reader) -> tuple[re.Pattern[str], Reader]:
    return re.compile(pattern, re.IGNORECASE), read


RULES = (
    _rule(r"(?<![\d-])(?P<y>\d{4})[-/](?P<m>\d\d)[-/](?P<d>\d\d)(?!\d)", _iso),
    _rule(rf"\b{_M}[\s-]{_D}\b{_TO_D}{_NO_DAY}(?:(?:,?\s|-){_Y})?", _month_and_day),
    _rule(rf"(?<![\d.:])\b(?:the\s)?{_D}{_TO_D}\s(?:of\s)?{_M}(?:,?\s{_Y})?", _month_and_day),
    _rule(rf"\b{_M},?\s(?:of\s)?{_Y}", _month_of_year),
    _rule(
        rf"\b(?:{_WHICH}\s|(?:in|by|since|until|till|during|from|of|before|after|around|for|late"
        rf"|early|mid|to|through)[\s-])(?:late\s|early\s|mid[\s-])?{_M}",
        _month_alone,
    ),
    _rule(
        rf"\b(?:{_WHICH}\s)?(?P<season>spring|summer|autumn|fall|winter)\b(?:,?\s(?:of\s)?{_Y})?",
        _season,
    ),
    _rule(
        r"\b(?:in|since|by|until|during|from|of|to|before|after|around)\s(?:late\s|early\s)?"
        rf"{_Y}(?!\s?[-%$€£]|\s\w+s\b)",
        _year_alone,
    ),
    _rule(rf"(?<![\d.,])\b{NUMBER}\s{_UNIT}\s(?:ago|back)\b", _ago),
    _rule(rf"\bin\s{NUMBER}\s{_UNIT}\b(?!\s(?:of|or)\b)", _ahead),
    _rule(rf"\b{NUMBER}\s{_UNIT}\sfrom\snow\b", _ahead),
    _rule(rf"\b(?:the\s)?(?:past|last)\s{NUMBER}\s{_UNIT}\b", _past_span),
    _rule(rf"\b{_WHICH}\s(?P<unit>weekend|week|month|year)\b(?!-)", _calendar_unit),
    _rule(
        rf"(?<!every\s)(?<!each\s)\b(?:{_WHICH}\s|on\s)?(?P<weekday>{'|'.join(WEEKDAYS)})\b",
        _weekday,
    ),
    _rule(rf"\b(?:{_WHICH}\s|on\s)(?P<weekday>mon|tues?|wed|thu(?:rs?)?|fri|sat|sun)\b", _weekday),
    _rule(
        r"\b(?P<near>(?:the\s)?day\s(?:before\syesterday|after\stomorrow)|last\snight|tonight|today"
        r"|this\s(?:morning|afternoon|evening)"
        r"|(?:yesterday|tomorrow)(?:\s(?:morning|afternoon|evening|night))?)\b",
        _near_day,
    ),
    _rule(
        r"\bon\sthe\s(?P<d>[0-3]?\d)(?:st|nd|rd|th)\b"
        r"(?=\s*(?:$|[.,;!?)]|(?:and|after|with|at|for|to|when|but|so|in)\b))",
        _day_of_month,
    ),
    _rule(rf"\b(?:{_WHICH}\s)?{_HOLIDAY}\b(?:\s{_Y})?", _holiday),
)
HINT = re.compile(
    r"\d|day\b|\b(?:last|this|next|past|previous|coming|following|tonight|tomorrow|ago|back)\b"
    r"|from now|\bin an? |\bin \w+ (?:day|week|month|year)|christmas|halloween|new year"
    rf"|\b(?:{'|'.join(name[:3] for name in MONTHS)})",
    re.IGNORECASE,
)
LASTING = re.compile(
    r"\bfor\s(?:about\s|around\s|over\s|almost\s|nearly\s|more\sthan\s|the\s(?:past|last)\s)?"
    rf"{NUMBER}\s(?P<unit>(?:day|week|month|year)s?)\b",
    re.IGNORECASE,
)
