"""Normalises words: the values and attribute names by which beliefs meet."""

import re
from datetime import UTC, datetime
from functools import lru_cache

from extractors.reading.dates import resolve
from extractors.reading.english.lexicon import (
    ARTICLES,
    FILLER,
    INTENSIFIERS,
    KIN,
    PRONOUNS,
    VAGUE_HEADS,
    any_of,
)

_ANY_DAY = datetime(2000, 1, 1, tzinfo=UTC)  # where a date stands does not depend on the day
_SLUG_WORDS = 10
_SLUG_CHARACTERS = 80
_EDGES = " \t\n,.;:!?'\"()-\u2013\u2014*_\ufffc"


# Values and names ---------------------------------------------------------------------------------

_HEAD = re.compile(
    rf"^(?:{any_of('a an the my our their some any this both really very super just also')}\s+)+",
    re.IGNORECASE,
)
_TAIL = re.compile(
    r"(?<![\s,])[\s,]++"
    + any_of(
        "now right_now currently these_days nowadays at_the_moment so_much very_much a_lot a_bit"
        " too as_well though lately recently anymore already again since by on in at until for ever"
        " instead please you_know and or of with to the a lol haha btw tbh together actually"
        " especially really before after about over around during last next this every"
    )
    + r"$",
    re.IGNORECASE,
)
_VOCATIVE = re.compile(r",\s+(?:[A-Z][a-z]+|man|dude|bro|girl|guys|folks|buddy|mate|tho)$")


def normal(text: str) -> str:
    """Returns a value by which beliefs meet: case folded, articles and closing fillers off."""
    value = " ".join(text.replace("\ufffc", " ").split()).strip(_EDGES)
    value = _VOCATIVE.sub("", value)
    shorter = _without_end(_HEAD.sub("", value).strip(_EDGES), _TAIL, _EDGES)
    return (shorter or value).casefold()


def _without_end(text: str, ending: re.Pattern[str], edges: str = "") -> str:
    """`text` without the endings that `ending` matches, one before the other, and their edges."""
    end = len(text)
    while found := ending.search(text, max(0, end - _ENDING_CHARACTERS), end):
        end = found.start()
        while end and text[end - 1] in edges:
            end -= 1
    return text[:end]


_ENDING_CHARACTERS = 60  # of one of `_TAIL` or `_LEADING_ON`, at most


def slug(text: str) -> str:
    """Returns `text` in snake case, without dates; at most ten words and 80 characters."""
    words = re.findall(r"[\w']+", normal(without_dates(text)).replace("\ufffc", ""))
    kept = [w.replace("'", "") for w in words if w not in ARTICLES and w not in INTENSIFIERS]
    return "_".join(kept[:_SLUG_WORDS])[:_SLUG_CHARACTERS].strip("_")


@lru_cache(maxsize=512)
def without_dates(text: str) -> str:
    """Returns `text` without the times it names and their prepositions."""
    pieces, done = [], 0
    for mention in resolve(text, _ANY_DAY):
        pieces.append(_TAIL.sub("", " " + text[done : mention.start].rstrip()).strip())
        done = mention.end
    pieces.append(text[done:].strip())
    return " ".join(piece for piece in pieces if piece)


# Sentences ----------------------------------------------------------------------------------------

_LEADING_ON = re.compile(
    r",?\s(?:(?:and|to)\s(?:just\s|really\s)?"
    + any_of(
        "ask asked see saw say said tell told know knew think thought feel felt notice noticed"
        " realize realized hope figure figured hear heard show showed found find understand"
    )
    + r"|as\s(?:much|many|well|long|soon|far)|btw|by the way|lol|haha|and|or|so|but|then|that|as|too-?)\Z",
    re.IGNORECASE,
)


def trimmed(text: str) -> str:
    """Returns `text` without an ending that leads to missing words ("… and see")."""
    return _without_end(" ".join(text.split()).rstrip(" ,-"), _LEADING_ON)


# What can be understood by itself -----------------------------------------------------------------

_YOU = re.compile(rf"\b{any_of('''you your yours yourself ya u y'all''')}\b", re.IGNORECASE)
_CONTENT = re.compile(r"[^\W\d_]{3,}|\d")
_STOP = FILLER | VAGUE_HEADS | ARTICLES
_DEMONSTRATIVE = re.compile(
    r"(?:\b(?:this|these|those)|(?:\A(?:\w+\s)?|\b(?:to|in|on|of|at|for|with|from|by)\s)that)\b"
    r"(?!'s|\s+(?:\w+day|"
    + any_of(
        "week weekend month year morning afternoon evening spring summer fall autumn winter past"
        " coming next last january february march april may june july august september october"
        " november december"
    )
    + r")\b)",
    re.IGNORECASE,
)
_HANGING = re.compile(
    r"\b(?:it|them|him|this|that|these|those|her|there|here)\Z|\bit happen\b|\bboth\s\w+\Z"
    r"|\b(?:that|this)\s(?:kind|sort|type)\b"
    r"|\b(?:another|the other|a (?:few|couple)) ones?\b"
    r"|\A\W*(?:\w+\W+){0,2}(?:it|them|him|their|its|his)\b",
    re.IGNORECASE,
)
_HE_OR_SHE = re.compile(r"\b(?:he|she|him|her|his|hers|he's|she's)\b", re.IGNORECASE)
_SOMEBODY = re.compile(
    r"(?-i:\b[A-Z]\w)|\b(?:woman|man|girl|boy|guy|lady|teen\w*|someone|person|"
    + "|".join(sorted(KIN))
    + r")\b",
    re.IGNORECASE,
)


def addressed(text: str) -> bool:
    """Returns whether it addresses the listener ("your painting"), and so states no fact."""
    return bool(_YOU.search(text))


def stands_alone(text: str, *, words: int = 1) -> bool:
    """Returns whether an object can be understood without what was said before it.

    It must not refer elsewhere ("it", "that one", "she") and, dates aside, must have at least
    `words` content words.
    """
    if addressed(text) or _HANGING.search(text) or _DEMONSTRATIVE.search(text):
        return False
    third = _HE_OR_SHE.search(text)
    if third and not _SOMEBODY.search(text, 0, third.start()):
        return False
    tokens = re.findall(r"[\w']+", text.lower())
    if not tokens or not PRONOUNS.isdisjoint(tokens[:2]):
        return False
    content = (w for w in without_dates(text).lower().split() if _CONTENT.search(w))
    return sum(w not in _STOP for w in content) >= words
