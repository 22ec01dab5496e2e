"""Repairs habits of typing before a text is read: all capitals, Every Word In Capitals, none at all.

Every repair keeps the length, so that a span of the repaired text is the same span of the message.
"""

import re
from functools import cache

from extractors.reading.english.lexicon import (
    ARTICLES,
    FILLER,
    FREQUENCY,
    KIN,
    OCCUPATIONS,
    PRONOUNS,
    VAGUE_HEADS,
    any_of,
    words,
)
from extractors.reading.english.verbs import FORMS

_SENTENCE = re.compile(r"[^.!?\n]+")
_WORD = re.compile(r"[^\W\d_][\w']*")
_LEAST_WORDS = 2
_MOSTLY = 0.8
_ABBREVIATION = 5  # letters: "IBM HR" is no sentence


def repaired(text: str) -> str:
    """Returns `text` with its capitals set as they are usually written; the same length."""
    return _SENTENCE.sub(lambda match: _sentence(match[0]), text)


def _sentence(text: str) -> str:
    typed = [word[0] for word in _WORD.finditer(text)]
    if len(typed) < _LEAST_WORDS:
        return text
    if _shouted(typed):
        return _with_places(_lower(text))
    if _in_title_case(typed):
        return _WORD.sub(lambda m: _lower(m[0]) if _common(m[0]) else m[0], text)
    return _with_places(text) if text == text.lower() else text


def _shouted(typed: list[str]) -> bool:
    letters = "".join(typed)
    upper = sum(letter.isupper() for letter in letters)
    return len(letters) > _ABBREVIATION and upper >= _MOSTLY * len(letters.replace("'", ""))


def _in_title_case(typed: list[str]) -> bool:
    """Whether words that nobody writes so have capitals: "I'm Not Sure"."""
    rest = typed[1:]
    capital = sum(word[0].isupper() for word in rest)
    return capital >= _MOSTLY * len(rest) and any(
        _common(word) and word[0].isupper() for word in rest
    )


def _lower(text: str) -> str:
    return "".join(c.lower() if len(c.lower()) == 1 else c for c in text)


_STATES = words(
    """
    back lost tired hungry thirsty sick ill late early ready sorry sure good great fine ok okay
    okey well bad busy free done here there home happy sad bored boring exhausted excited
    curious confused stuck pregnant single married divorced engaged widowed separated retired
    unemployed vegan vegetarian pescatarian diabetic celiac coeliac deaf blind gay lesbian
    bisexual trans straight allergic lactose intolerant afraid scared worried nervous anxious
    angry mad upset annoyed alone lonely new old young tall short broke rich poor cold hot warm
    wet drunk sober asleep awake alive dead wrong right serious kidding joking curious
    interested sorry grateful thankful glad proud jealous ashamed guilty fascinated impressed
    surprised shocked amazed thrilled devastated heartbroken overwhelmed stressed burnt burned
    depressed relieved in from on off at out over up down under so not very really just still
    now almost always never also too quite pretty all only about to of for with and or but if
    then than as by my your his her its our their the an is are was were be been am do does did
    have has had will would can could should may might must what when where why who how which
    that this these those because while after before peanuts nuts
    """
)
_ENDINGS = re.compile(r"\w+(?:ing|ed|ful|less|ous|ish|able|ible|ive|ically|ally)\Z")


@cache
def _vocabulary() -> frozenset[str]:
    people = KIN | OCCUPATIONS
    return (
        frozenset(FORMS) | people | FILLER | FREQUENCY | ARTICLES | PRONOUNS | VAGUE_HEADS | _STATES
    )


def _common(word: str) -> bool:
    """Whether a word is one of the language, and no name."""
    plain = word.lower()
    if plain in {"i", "i'm", "i've", "i'd", "i'll"}:
        return False
    return plain.partition("'")[0] in _vocabulary() or bool(_ENDINGS.match(plain))


def is_state(said: str) -> bool:
    """Returns whether what follows "I'm" says how somebody is, not who."""
    return any(_common(word) for word in said.split()) or said.split(maxsplit=1)[0].lower() in {
        "team",
        "so",
    }


_WHERE = re.compile(
    r"(?<=\s)(?:"
    + any_of("live lives living moved move moving relocated relocating based born grew_up raised")
    + r"(?:\s(?:back|here|over|now|currently))?\s(?:in|to|out of)|(?:i'm|im|i am|is|come|comes|originally)\sfrom)\s"
    r"(?P<at>(?!(?:"
    + any_of(
        "the a an my our his her their this that fear hope peace love debt bed person town work home school"
        " denial hurry luxury silence pain harmony sin squalor terror constant here there another one two"
        " something someone where what different bigger smaller better new_(?!york|delhi|orleans|haven)"
        " old nice big small little it"
    )
    + r")\b)[a-zà-ÿ][\w'-]*(?:\s(?:(?<=new\s)|(?<=san\s)|(?<=los\s)|(?<=las\s)|(?<=santa\s)|(?<=rio\s)"
    r"|(?<=cape\s)|(?<=buenos\s)|(?<=hong\s)|(?<=kuala\s)|(?<=tel\s)|(?<=den\s)|(?<=saint\s)|(?<=st\s))[a-z][\w'-]*)?)"
)


def _with_places(text: str) -> str:
    """A sentence without any capital, with one for each place that its verb names."""
    return _WHERE.sub(lambda m: m[0][: m.start("at") - m.start()] + _titled(m["at"]), text)


def _titled(name: str) -> str:
    return re.sub(
        r"(?<![\w'])[a-zà-ÿ]", lambda m: m[0].upper() if len(m[0].upper()) == 1 else m[0], name
    )
