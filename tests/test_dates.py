"""Dates in words: every form the resolver promises, from a Thursday in May."""

from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extractors.reading.dates import (
    Grain,
    Leaning,
    day_in_words,
    lasting_since,
    resolve,
    weekday_in_words,
)

THURSDAY = datetime(2023, 5, 25, 13, 14, tzinfo=UTC)

NAMED = [
    ("yesterday", "24 May 2023"),
    ("yesterday morning", "24 May 2023"),
    ("last night", "24 May 2023"),
    ("today", "25 May 2023"),
    ("this evening", "25 May 2023"),
    ("tomorrow", "26 May 2023"),
    ("the day before yesterday", "23 May 2023"),
    ("the day after tomorrow", "27 May 2023"),
    ("last Saturday", "20 May 2023"),
    ("last Thursday", "18 May 2023"),
    ("this Friday", "26 May 2023"),
    ("next Friday", "2 June 2023"),
    ("on Friday", "19 May 2023"),
    ("last Fri", "19 May 2023"),
    ("last week", "15 to 21 May 2023"),
    ("this week", "22 to 28 May 2023"),
    ("next week", "29 May to 4 June 2023"),
    ("last weekend", "20 to 21 May 2023"),
    ("this weekend", "27 to 28 May 2023"),
    ("next weekend", "3 to 4 June 2023"),
    ("two weekends ago", "13 to 14 May 2023"),
    ("last month", "April 2023"),
    ("next month", "June 2023"),
    ("last year", "2022"),
    ("next year", "2024"),
    ("last summer", "summer 2022"),
    ("this summer", "summer 2023"),
    ("next spring", "spring 2024"),
    ("last winter", "winter 2022"),
    ("in the summer of 2021", "summer 2021"),
    ("3 days ago", "22 May 2023"),
    ("a week ago", "15 to 21 May 2023"),
    ("a couple of months ago", "March 2023"),
    ("five years ago", "2018"),
    ("in two weeks", "5 to 11 June 2023"),
    ("in three months", "August 2023"),
    ("two days from now", "27 May 2023"),
    ("the past three months", "25 February to 25 May 2023"),
    ("on 5 May", "5 May 2023"),
    ("on the 5th of May, 2021", "5 May 2021"),
    ("May 5th", "5 May 2023"),
    ("March 15, 2024", "15 March 2024"),
    ("March-15-2024", "15 March 2024"),
    ("July 16-18", "16 to 18 July 2023"),
    ("on the 15th", "15 May 2023"),
    ("in March", "March 2023"),
    ("last March", "March 2023"),
    ("last June", "June 2022"),
    ("next May", "May 2024"),
    ("March 2021", "March 2021"),
    ("since 2019", "2019"),
    ("2023-06-01", "1 June 2023"),
    ("last Christmas", "25 December 2022"),
    ("Halloween 2021", "31 October 2021"),
    ("Valentine\u2019s Day", "14 February 2023"),
]


@pytest.mark.parametrize(("text", "meant"), NAMED)
def test_a_date_is_read(text: str, meant: str) -> None:
    [mention] = resolve(text, THURSDAY)
    assert str(mention) == meant


@pytest.mark.parametrize(
    "text",
    [
        "I may go",
        "option 3 may work",
        "30 February",
        "2023-02-30",
        "in 12 minutes",
        "in 2,000 words",
        "every Tuesday",
        "on Mondays",
        "Monday to Friday",
        "on the 3rd floor",
        "next to me",
        "last but not least",
        "03/04/2021",
        "",
    ],
)
def test_no_date_is_invented(text: str) -> None:
    assert resolve(text, THURSDAY) == []


def test_mentions_keep_the_order_of_the_text_and_do_not_overlap() -> None:
    text = "Last year I moved, on 5 May I started, and next week I travel."
    mentions = resolve(text, THURSDAY)
    assert [text[m.start : m.end] for m in mentions] == ["Last year", "5 May", "next week"]
    assert [m.relative for m in mentions] == [True, False, True]
    assert [m.grain for m in mentions] == [Grain.YEAR, Grain.DAY, Grain.WEEK]


@pytest.mark.parametrize(
    ("text", "leaning", "day"),
    [
        ("on Friday", Leaning.FUTURE, date(2023, 5, 26)),
        ("on Friday", Leaning.PAST, date(2023, 5, 19)),
        ("on July 1", Leaning.NEAREST, date(2023, 7, 1)),
        ("on March 3", Leaning.FUTURE, date(2024, 3, 3)),
        ("on the 2nd", Leaning.FUTURE, date(2023, 6, 2)),
        ("on the 28th", Leaning.PAST, date(2023, 4, 28)),
        ("on January 2", Leaning.FUTURE, date(2024, 1, 2)),
        ("on December 2", Leaning.PAST, date(2022, 12, 2)),
    ],
)
def test_what_is_left_open_leans(text: str, leaning: Leaning, day: date) -> None:
    [mention] = resolve(text, THURSDAY, leaning)
    assert mention.begins.date() == day


def test_a_weekday_said_on_that_day() -> None:
    [last] = resolve("last Thursday", THURSDAY)
    [plain] = resolve("on Thursday", THURSDAY)
    [following] = resolve("next Thursday", THURSDAY)
    assert [m.begins.day for m in (last, plain, following)] == [18, 25, 1]


def test_days_are_those_of_the_speakers_zone() -> None:
    tokyo = timezone(timedelta(hours=9))
    said = datetime(2024, 1, 1, 1, tzinfo=tokyo)
    [mention] = resolve("yesterday", said)
    assert mention.begins == datetime(2023, 12, 31, tzinfo=UTC)
    assert mention.ends - mention.begins == timedelta(days=1)


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("for three years", date(2020, 5, 25)),
        ("for about 6 months now", date(2022, 11, 25)),
        ("for a week", date(2023, 5, 18)),
        ("for the past two weeks", date(2023, 5, 11)),
        ("for fun", None),
    ],
)
def test_how_long_something_lasts(text: str, since: date | None) -> None:
    began = lasting_since(text, THURSDAY)
    assert (began.date() if began else None) == since


def test_a_leap_day_needs_a_leap_year() -> None:
    [mention] = resolve("on 29 February", datetime(2024, 3, 1, tzinfo=UTC))
    assert mention.begins.date() == date(2024, 2, 29)
    assert resolve("on 29 February", datetime(2022, 3, 1, tzinfo=UTC)) == []


def test_words_for_days() -> None:
    assert day_in_words(date(2023, 5, 8)) == "8 May 2023"
    assert weekday_in_words(date(2023, 5, 8)) == "Monday"


@given(
    st.lists(st.sampled_from([*(text for text, _ in NAMED), "and", "7", "of", "\u2013", "ago"])),
    st.datetimes(
        min_value=datetime(1900, 1, 2),  # noqa: DTZ001 - hypothesis adds the zone
        max_value=datetime(2200, 1, 1),  # noqa: DTZ001
        timezones=st.just(UTC),
    ),
    st.sampled_from(Leaning),
)
def test_every_mention_is_a_real_stretch_of_time(
    words: list[str], said_at: datetime, leaning: Leaning
) -> None:
    text = " ".join(words)
    mentions = resolve(text, said_at, leaning)
    for mention in mentions:
        assert mention.begins < mention.ends
        assert mention.begins.tzinfo is UTC
        assert text[mention.start : mention.end].strip()
        assert str(mention)
    assert all(a.end <= b.start for a, b in pairwise(mentions))


@pytest.mark.parametrize("said", ["next spring", "on Christmas", "six minutes ago", "last Sunday"])
@pytest.mark.parametrize(("plain", "odd"), [("i", "\u0130"), ("i", "\u0131"), ("s", "\u017f")])
def test_letters_that_lower_to_others_name_the_same_day(said: str, plain: str, odd: str) -> None:
    assert resolve(said.replace(plain, odd), THURSDAY) == resolve(said, THURSDAY)


@given(st.text(max_size=60))
def test_any_text_can_be_read(text: str) -> None:
    resolve(text, datetime.min.replace(tzinfo=UTC))
    resolve(text, datetime.max.replace(tzinfo=UTC))
    lasting_since(text, THURSDAY)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("bought a car 1.5 years ago", "November 2021"),
        ("half a year ago", "November 2022"),
        ("two and a half years ago", "November 2020"),
        ("a year and a half ago", "November 2021"),
        ("started in Jan '24", "January 2024"),
        ("since '19", "2019"),
        ("in the summer of 1998", "summer 1998"),
        ("I bought a bike the Monday after Christmas", "26 December 2022"),
        ("three days before Christmas I fell", "22 December 2022"),
        ("the day after New Year's Eve I quit", "1 January 2023"),
        ("a week after Easter Monday 2026", "13 April 2026"),
        ("it is on the last Friday of the month", "26 May 2023"),
        ("I have a call on Tuesday week", "6 June 2023"),
        ("It was on Monday of last week", "15 May 2023"),
        ("I moved out at the end of last month", "30 April 2023"),
        ("booked a flight for Saturday", "27 May 2023"),
        ("is on leave until Tuesday", "30 May 2023"),
        ("the lease ends in December", "December 2023"),
        ("I ran a marathon in July", "July 2022"),
    ],
)
def test_a_date_of_several_parts_is_read_as_a_whole(text: str, meant: str) -> None:
    [mention] = resolve(text, THURSDAY)
    assert str(mention) == meant


@pytest.mark.parametrize(
    "text",
    ["a session every second Friday", "a call every other Monday", "I volunteer on Tuesdays",
     "the first Monday of every month"],
)  # fmt: skip
def test_what_recurs_has_no_day(text: str) -> None:
    assert resolve(text, THURSDAY) == []
