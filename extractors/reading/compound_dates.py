"""Rules for dates of several parts, and the side of today on which a date without its year lies."""

import re
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property

from extractors.reading.date_rules import (
    DAYS_IN_WEEK,
    HOLIDAYS,
    MONTHS,
    MONTHS_IN_YEAR,
    NUMBERS,
    WEEKDAYS,
    Asked,
    Days,
    Leaning,
    Reader,
    back,
    month,
    number_of,
    on_holiday,
    one_day,
    week,
    whole_year,
)

_DAY = rf"(?P<weekday>{'|'.join(WEEKDAYS)})"
_MONTH = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_FEAST = (
    "(?P<holiday>easter\\smonday|easter\\ssunday|easter|good\\sfriday|"
    + "|".join(sorted((re.escape(name) for name in HOLIDAYS), key=len, reverse=True))
    + "|new\\syear(?!'s))"
)
_COUNT = r"\d{1,4}|an?|" + "|".join(sorted(NUMBERS.keys() - {"a", "an"}, key=len, reverse=True))
_ORDINALS = {"first": 0, "second": 1, "third": 2, "fourth": 3, "last": -1}
_DAYS_IN_YEAR = 365.25
_DAYS_IN_MONTH = 30.44
_CENTURY = 100
_SOON = 10  # years: '35 is in the last century if today is before 2025

RECURRING = re.compile(
    r"\b(?:every|each|alternate)\s(?:(?:other|second|third|fourth|single|2nd|3rd|4th|first|1st|last)\s)?"
    rf"(?:{'|'.join(WEEKDAYS)}|day|week|weekend|month|year|morning|evening|night)\b"
    rf"|\b(?:first|second|third|fourth|last|1st|2nd|3rd|4th)\s(?:{'|'.join(WEEKDAYS)}|day|week|weekend)\s"
    r"(?:of|in)\s(?:every|each|the\s?month\sand|a)\b(?:\smonth)?"
    rf"|\b(?:on\s)?(?:{'|'.join(WEEKDAYS)})s\b",
    re.IGNORECASE,
)
"""What happens again and again has no one day."""


def _rule(pattern: str, read: Reader) -> tuple[re.Pattern[str], Reader]:
    return re.compile(pattern, re.IGNORECASE), read


# Readers ------------------------------------------------------------------------------------------


def _fraction_ago(match: re.Match[str], asked: Asked) -> Days | None:
    said = " ".join(match["n"].lower().split())
    whole = number_of(match["whole"]) if match["whole"] else 0
    if whole is None:
        return None
    amount = whole + 0.5 if "half" in said else float(said.replace(",", "."))
    unit = match["unit"].lower()
    if unit.startswith("year"):
        then = asked.today - timedelta(days=amount * _DAYS_IN_YEAR)
        return month(then.year, then.month, relative=True)
    days = {"m": _DAYS_IN_MONTH, "w": DAYS_IN_WEEK, "d": 1}[unit[0]]
    then = asked.today - timedelta(days=amount * days)
    return one_day(then, relative=True) if unit.startswith("day") else week(then)


def _short_year(match: re.Match[str], asked: Asked) -> Days | None:
    year = asked.today.year - asked.today.year % _CENTURY + int(match["yy"])
    year -= _CENTURY if year > asked.today.year + _SOON else 0
    if match["month"] is None:
        return whole_year(year, relative=False)
    return month(year, _number(match["month"]), relative=False)


def _of_month(match: re.Match[str], asked: Asked) -> Days | None:
    """`the last Friday of the month`, `the first Monday in May 2024`."""
    today = asked.today
    if match["month"]:
        number = _number(match["month"])
        year = int(match["y"]) if match["y"] else _year_of(number, asked)
    else:
        step = {"last": -1, "next": 1}.get((match["which"] or "").lower(), 0)
        there = back(today.replace(day=1), -step, "month")
        number, year = there.month, there.year
    days = month(year, number, relative=True)
    wanted = _weekday(match)
    first = days.first + timedelta(days=(wanted - days.first.weekday()) % DAYS_IN_WEEK)
    of_them = [first + timedelta(weeks=n) for n in range(5)]
    within = [day for day in of_them if day <= days.last]
    return one_day(within[_ORDINALS[match["nth"].lower()]], relative=True)


def _from_feast(match: re.Match[str], asked: Asked) -> Days | None:
    """`two days before Christmas`, `the Monday after New Year's Eve`."""
    feast = _feast(match, asked)
    side = 1 if match["side"].lower() == "after" else -1
    if match["weekday"]:
        away = (side * (_weekday(match) - feast.weekday())) % DAYS_IN_WEEK or DAYS_IN_WEEK
        return one_day(feast + timedelta(days=side * away), relative=True)
    number = 1 if match["n"].lower() == "the" else number_of(match["n"])
    if number is None:
        return None
    return one_day(back(feast, -side * number, match["unit"].lower()), relative=True)


def _feast_itself(match: re.Match[str], asked: Asked) -> Days | None:
    return one_day(_feast(match, asked), relative=match["y"] is None)


def _feast(match: re.Match[str], asked: Asked) -> date:
    name = " ".join(match["holiday"].lower().split())
    name = "new year's day" if name == "new year" else name
    year = int(match["y"]) if match["y"] else None
    if name in HOLIDAYS:
        return on_holiday(name, year, asked)
    offset = {"easter monday": 1, "good friday": -2}.get(name, 0)
    if year is not None:
        return _easter(year) + timedelta(days=offset)
    near = [_easter(asked.today.year + n) + timedelta(days=offset) for n in (-1, 0, 1)]
    if asked.leaning is Leaning.PAST:
        return max(day for day in near if day <= asked.today)
    if asked.leaning is Leaning.FUTURE:
        return min(day for day in near if day >= asked.today)
    return min(near, key=lambda day: abs(day - asked.today))


def _easter(year: int) -> date:
    """Easter Sunday, by the anonymous Gregorian algorithm (Meeus, Astronomical Algorithms)."""
    a, (b, c) = year % 19, divmod(year, 100)
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    rest = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 19 * rest) // 433
    n = (h + rest - 7 * m + 90) // 25
    return date(year, n, (h + rest - 7 * m + 33 * n + 19) % 32)


def _weekday_week(match: re.Match[str], asked: Asked) -> Days | None:
    """`Tuesday week`: the one after the coming Tuesday."""
    ahead = (_weekday(match) - asked.today.weekday()) % DAYS_IN_WEEK or DAYS_IN_WEEK
    return one_day(asked.today + timedelta(days=ahead + DAYS_IN_WEEK), relative=True)


def _weekday_of_week(match: re.Match[str], asked: Asked) -> Days | None:
    """`Monday of last week`."""
    step = {"last": -1, "this": 0, "next": 1}[match["which"].lower()]
    monday = asked.today - timedelta(days=asked.today.weekday()) + timedelta(weeks=step)
    return one_day(monday + timedelta(days=_weekday(match)), relative=True)


def _end_of_month(match: re.Match[str], asked: Asked) -> Days | None:
    """`the end of last month`: its last day."""
    step = {"last": -1, "this": 0, "the": 0, "next": 1}[match["which"].lower()]
    there = back(asked.today.replace(day=1), -step, "month")
    last = month(there.year, there.month, relative=True).last
    return one_day(last, relative=True)


def _weekday(match: re.Match[str]) -> int:
    return [name.lower() for name in WEEKDAYS].index(match["weekday"].lower())


def _number(name: str) -> int:
    short = name.lower()[:3]
    return next(n for n, full in enumerate(MONTHS, 1) if full.lower().startswith(short))


def _year_of(number: int, asked: Asked) -> int:
    """The year of a month without one, on the side to which the text leans."""
    today = asked.today
    if asked.leaning is Leaning.PAST:
        return today.year if number <= today.month else today.year - 1
    if asked.leaning is Leaning.FUTURE:
        return today.year if number >= today.month else today.year + 1
    distance = (number - today.month + MONTHS_IN_YEAR // 2) % MONTHS_IN_YEAR - MONTHS_IN_YEAR // 2
    return today.year + (today.month - 1 + distance) // MONTHS_IN_YEAR


COMPOUND = (
    _rule(
        r"(?<![\d.,])\b(?:(?P<n>(?P<whole>\d{1,3}|an?|one|two|three|four|five|six|seven|eight|nine|ten)?\s?(?:and\sa\shalf|half(?:\san?)?))"
        r"\s(?P<unit>(?:day|week|month|year)s?))\sago\b",
        _fraction_ago,
    ),
    _rule(
        r"\b(?P<whole>an?|one)\s(?P<unit>day|week|month|year)\s(?P<n>and\sa\shalf)\sago\b",
        _fraction_ago,
    ),
    _rule(
        r"(?<![\d.,])\b(?P<whole>(?!))?(?P<n>\d{1,3}[.,]\d)\s"
        r"(?P<unit>(?:day|week|month|year)s?)\sago\b",
        _fraction_ago,
    ),
    _rule(rf"\b{_MONTH}\s'(?P<yy>\d\d)\b", _short_year),
    _rule(r"\b(?:in|since|of|from|until|by|during)\s(?P<month>(?!))?'(?P<yy>\d\d)\b", _short_year),
    _rule(
        rf"\b(?:on\s)?the\s(?P<nth>first|second|third|fourth|last)\s{_DAY}\s(?:of|in)\s"
        rf"(?:(?:the|this|(?P<which>last|next))\smonth|{_MONTH}(?:\s(?P<y>(?:19|20)\d\d))?)",
        _of_month,
    ),
    _rule(
        rf"\b(?:(?P<n>the|{_COUNT})\s(?P<unit>(?:day|week|month|year)s?)|(?:the\s|on\s)*{_DAY})"
        rf"\s(?P<side>before|after)\s{_FEAST}(?:\s(?P<y>(?:19|20)\d\d))?\b",
        _from_feast,
    ),
    _rule(
        r"\b(?P<holiday>easter\smonday|easter\ssunday|good\sfriday|easter)\b"
        r"(?:\s(?P<y>(?:19|20)\d\d))?",
        _feast_itself,
    ),
    _rule(rf"\b(?:on\s|a\s)?{_DAY}\sweek\b(?!\w)", _weekday_week),
    _rule(rf"\b(?:on\s)?{_DAY}\sof\s(?P<which>last|this|next)\sweek\b", _weekday_of_week),
    _rule(
        r"\b(?:at\s|by\s|until\s)?the\s(?:very\s)?end\sof\s"
        r"(?P<which>last|this|next|the)\smonth\b",
        _end_of_month,
    ),
)  # fmt: skip


# The side of today --------------------------------------------------------------------------------

_SINCE = re.compile(r"\b(?:since|ever since|back in|last)\s(?:the\s)?\Z", re.IGNORECASE)
_ARRANGED = re.compile(
    r"\b(?:book(?:ed|ing)?|reserved?|schedul(?:ed?|ing)|re-?schedul(?:ed?|ing)|postponed?|pushed|moved|tickets?|"
    r"appointment|reservation|planned|set|signed\sup|invited|arranged|confirmed|registered|delayed)\b[^.;!?]{0,80}\Z",
    re.IGNORECASE,
)
_FOR = re.compile(r"\b(?:for|to|until|till)\s(?:the\s)?\Z", re.IGNORECASE)
_UNTIL = re.compile(
    r"\b(?:until|till|til|by|before|due|due on|no later than)\s(?:the\s)?\Z", re.IGNORECASE
)
_PAST = re.compile(
    r"\b(?:was|were|did|didn't|had|went|got|bought|sold|broke|lost|found|left|took|came|began|began|met|saw|"
    r"ran|flew|drove|gave|wrote|won|fell|felt|said|told|built|made|became|quit|paid|spent|caught|"
    r"[a-z]{2,}(?<!ne)ed)\b|\bago\b",
    re.IGNORECASE,
)
_AHEAD = re.compile(
    r"(?:\b(?:is|are|am|will|starts?|ends?|begins?|have|has|going|gonna|getting|expires?|due|leaves?|arrives?|opens?"
    r"|closes?|runs\sout|moving|flying|coming|must|need)\b|'(?:m|re|ll)\b|\b(?:it|that|he|she|there)'s\b)",
    re.IGNORECASE,
)
_BEFORE = 100  # characters


@dataclass(frozen=True)
class SideOfToday:
    """On which side of today the dates of a text lie; it reads the whole text once."""

    text: str

    @cached_property
    def _past(self) -> bool:
        return bool(_PAST.search(self.text))

    @cached_property
    def _ahead(self) -> bool:
        return bool(_AHEAD.search(self.text))

    def at(self, start: int, leaning: Leaning) -> Leaning:
        """Returns the side of a date at `start` of the text."""
        before = self.text[max(0, start - _BEFORE) : start]
        if _SINCE.search(before):
            return Leaning.PAST
        if _FOR.search(before) and _ARRANGED.search(before):
            return Leaning.FUTURE
        if leaning is not Leaning.NEAREST:
            return leaning
        if self._past:
            return Leaning.PAST
        return Leaning.FUTURE if _UNTIL.search(before) or self._ahead else Leaning.NEAREST
