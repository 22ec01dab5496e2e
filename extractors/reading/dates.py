"""Resolves dates in text from the moment it was said; for statements and queries.

Nothing here reads a clock. Weeks begin on Monday; seasons are the meteorological ones of the
northern hemisphere: spring is March to May, and a winter is named by the year it starts in.
"""

import re
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta

from extractors.reading.compound_dates import COMPOUND, RECURRING, SideOfToday
from extractors.reading.date_rules import (
    HINT,
    LASTING,
    MONTHS,
    RULES,
    WEEKDAYS,
    Asked,
    Grain,
    Leaning,
    Reader,
    back,
    number_of,
    season_name,
)

__all__ = [
    "Grain",
    "Leaning",
    "Mention",
    "day_in_words",
    "lasting_since",
    "resolve",
    "weekday_in_words",
]

_TYPOGRAPHIC = str.maketrans(
    {"\u2019": "'", "\u00a0": " ", "\u202f": " ", "\u0130": "I", "\u0131": "i", "\u017f": "s"}
)
"""Keeps every offset. The letters match "i" and "s" where case is ignored, and lower to others."""


@dataclass(frozen=True, slots=True)
class Mention:
    """A time that a text names.

    start, end: character offsets in the text, end exclusive.
    begins, ends: the time it names, `ends` exclusive, by the speaker's calendar and in UTC: 8 May
        begins at 00:00 UTC wherever it was said, so that it reads as 8 May wherever it is read.
    relative: only the moment it was said explains it ("last week").
    """

    start: int
    end: int
    begins: datetime
    ends: datetime
    grain: Grain
    relative: bool

    def __str__(self) -> str:
        """In words: `20 May 2023`, `15 to 21 May 2023`, `May 2023`, `summer 2022`, `2019`."""
        first, last = self.begins.date(), self.ends.date() - timedelta(days=1)
        match self.grain:
            case Grain.YEAR:
                return str(first.year)
            case Grain.MONTH:
                return f"{MONTHS[first.month - 1]} {first.year}"
            case Grain.SEASON:
                return f"{season_name(first.month)} {first.year}"
            case _:
                return _days_in_words(first, last)


def resolve(text: str, said_at: datetime, leaning: Leaning = Leaning.NEAREST) -> list[Mention]:
    """Returns every date named in `text`, in the order of the text; mentions do not overlap.

    Where the language is ambiguous:
    - a day or month without a year is the last, the next or the nearest one, as `leaning` says;
      where that is NEAREST, the tense of the text says on which side of today it lies;
    - what was arranged lies ahead, whatever the tense: "booked for Sunday";
    - what happens again and again ("every other Monday") has no day;
    - "on Friday" is the coming one if `leaning` is FUTURE, else that of the past seven days, today
      included; "last Friday" is the most recent one before today, "this Friday" the coming one,
      "next Friday" that of next week;
    - "two weeks ago" is that calendar week, "two months ago" that month, "three years ago" that
      year; "a few weeks ago" is the span from five to two weeks ago;
    - "the past three weeks" is the span that ends today;
    - all-numeric dates are read only in the ISO order, since the others mean different days in
      different countries.
    """
    if not HINT.search(text):
        return []
    text = text.translate(_TYPOGRAPHIC)
    asked = Asked(said_at.date(), leaning)  # by the clock of whoever spoke
    today = SideOfToday(text)
    found: list[Mention] = []
    taken = bytearray(len(text))
    for again in RECURRING.finditer(text):
        taken[again.start() : again.end()] = b"\1" * (again.end() - again.start())
    for pattern, read in (*COMPOUND, *RULES):
        for match in pattern.finditer(text):
            start, end = match.span()
            if taken.find(1, start, end) >= 0:
                continue
            side = replace(asked, leaning=today.at(_named_at(match), leaning))
            if mention := _mentioned(match, read, side):
                found.append(mention)
                taken[start:end] = b"\1" * (end - start)
    return sorted(found, key=lambda m: m.start)


_PREPOSITION = re.compile(
    r"(?:in|by|since|until|till|during|from|of|before|after|on|for|to)\s", re.IGNORECASE
)


def _named_at(match: re.Match[str]) -> int:
    """Where a date begins after the preposition that a rule took with it."""
    taken = _PREPOSITION.match(match[0])
    return match.start() + (taken.end() if taken else 0)


def lasting_since(text: str, said_at: datetime) -> datetime | None:
    """Returns when something began that has lasted "for three years" by `said_at`, or None."""
    match = LASTING.search(text.translate(_TYPOGRAPHIC))
    number = number_of(match["n"]) if match else None
    if match is None or number is None:
        return None
    try:
        return _midnight(back(said_at.date(), number, match["unit"].lower()))
    except (ValueError, OverflowError):  # before the calendar
        return None


def day_in_words(day: date) -> str:
    """Returns `8 May 2023`, in every locale."""
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


def weekday_in_words(day: date) -> str:
    """Returns `Monday`, in every locale."""
    return WEEKDAYS[day.weekday()]


def _mentioned(match: re.Match[str], read: Reader, asked: Asked) -> Mention | None:
    try:
        days = read(match, asked)
        if days is None or days.last < days.first:
            return None
        begins = _midnight(days.first)
        ends = _midnight(days.last + timedelta(days=1))
    except (ValueError, OverflowError):  # no such day: 30 February, or beyond the calendar
        return None
    return Mention(match.start(), match.end(), begins, ends, days.grain, days.relative)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=UTC)


def _days_in_words(first: date, last: date) -> str:
    if first == last:
        return day_in_words(first)
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day} to {day_in_words(last)}"
    if first.year == last.year:
        return f"{first.day} {MONTHS[first.month - 1]} to {day_in_words(last)}"
    return f"{day_in_words(first)} to {day_in_words(last)}"
