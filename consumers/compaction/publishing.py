"""Words collective memories, and decides what may not be in them. Pure: values in, values out."""

import re
from collections.abc import Collection
from pathlib import Path

TEMPLATE_VERSION = "1"
YES, NO = "yes", "no"
_PLACING = ("at", "before", "for", "if", "in", "on", "when", "while", "with")

MOST_WORDS = 10
MOST_CHARACTERS = 80
LONGEST_NUMBER = 4
MOST_DIGITS = 6

_SEPARATORS = re.compile(r"[\s\d!-/:-@\[-`{-~]+")
_SHAPE = re.compile(r"[\w][\w\s\-/+#.,&>'%€$£]*")
_NUMBER = re.compile(rf"\d{{{LONGEST_NUMBER + 1},}}")
_LINK = re.compile(r"@|https?:|www\.|\w\.(?:com|org|net|io|ai|dev|eu|de|uk|fr|es|it|nl)\b")
_ADDRESS = re.compile(
    r"\b\d+\s+\w+\s+(?:street|st|road|rd|avenue|ave|lane|ln|drive|square|court|boulevard|blvd)\b"
    r"|\b\w*(?:strasse|straße|platz|gasse)\s+\d|\b(?:rue|via|calle|avenida)\s+\w+"
    r"|\b(?:p\.?\s?o\.?\s?box|postcode|zip code)\b"
)
_TITLED = re.compile(r"\b(?:mr|mrs|ms|miss|dr|prof|sir|madam|herr|frau|señor|señora)\b\.?\s+\w")
_OWNED = re.compile(
    r"\b(?:my|our|mine|his|her|their|i|me|we)\b|\b(?:wife|husband|partner|girlfriend|boyfriend"
    r"|son|daughter|mother|father|mom|mum|dad|sister|brother|boss)\b"
)
_INTIMATE = re.compile(
    r"\b(?:pregnan\w*|diabet\w*|cancer|hiv|aids|depress\w*|bipolar|autis\w*|adhd|disab\w*|medicat\w*"
    r"|antidepress\w*|insulin|therap(?:y|ist)|divorc\w*|gay|lesbian|bisexual|trans(?:gender)?"
    r"|muslim|christian|jewish|catholic|hindu|buddhist|atheist|salary of|password|passport|iban)\b"
)
GIVEN_NAMES = frozenset(
    Path(__file__).with_name("given_names.txt").read_text(encoding="utf-8").split()
)
"""Given names that are hardly ever another word; `mark`, `will` and similar ones are left out."""


def family(attribute: str) -> str:
    """Returns an attribute up to its first dot, which decides whether it may be promoted."""
    return attribute.partition(".")[0]


def worded(attribute: str, value: str, context: str | None) -> str:
    """Words the memory from a template: only the attribute's name, the value and the context."""
    head, _, rest = attribute.partition(".")
    if head == "procedure":
        steps = value.replace(" > ", ", then ").replace(" + ", " and ").replace("_", " ")
        task = f" to {_plain(rest)}" if rest else ""
        return f"What has worked{task}: {steps}" + _aside(context)
    if head == "instruction":
        asked = f"not to {value.removeprefix('not ')}" if value.startswith("not ") else value
        return f"Often asked for: {asked}" + _aside(context)
    if head == "taste":
        likes, what = value != "dislikes", _plain(rest)
    else:
        likes, what = head != "avoids", _what(rest, value)
    if head not in ("avoids", "prefers", "taste"):
        return f"Often said: {_plain(head)} {what}" + _aside(context)
    if context:
        return f"What {'works' if likes else 'does not work'} {_placed(context)}: {what}"
    return f"Often {'preferred' if likes else 'not wanted'}: {what}"


def revealing(
    attribute: str, value: str, context: str | None, named: Collection[str]
) -> str | None:
    """Returns why a belief must not be published, or None if it may be.

    `named` are those of `words(...)` that are names in this tenant. It refuses names, links and
    e-mail addresses, telephone and other long numbers, postal addresses, relatives, health, faith
    and similar topics, and anything longer or stranger than a general rule would be.
    """
    rest = attribute.partition(".")[2].replace("_", " ")
    for part in (rest, value.replace("_", " "), context or ""):
        text = part.casefold().strip()
        if text and (reason := _reason(text, named)):
            return reason
    return None


def words(*parts: str | None) -> set[str]:
    """Returns the words of a belief in which names are looked for."""
    text = " ".join(part for part in parts if part).casefold()
    return {word for word in _SEPARATORS.split(text) if len(word) > 2}  # noqa: PLR2004


def confidence(step: int) -> float:
    """Returns the confidence in a belief of at least `step` users: 1 - 1 / (step + 2), up to 0.99.

    That is the rule of succession after `step` trials without a failure; the exact count plays no
    part.
    """
    return min(0.99, 1 - 1 / (step + 2))


def _reason(text: str, named: Collection[str]) -> str | None:
    refused = (
        ("is too long for a rule", len(text) > MOST_CHARACTERS or len(text.split()) > MOST_WORDS),
        ("holds a link or an address", _LINK.search(text) or _ADDRESS.search(text)),
        ("holds a long number", _NUMBER.search(text) or sum(map(str.isdigit, text)) > MOST_DIGITS),
        ("is not plain words", not _SHAPE.fullmatch(text)),
        ("holds a name", _TITLED.search(text) or words(text) & (GIVEN_NAMES | set(named))),
        ("speaks of a person", _OWNED.search(text)),
        ("is nobody else's business", _INTIMATE.search(text)),
    )
    return next((reason for reason, applies in refused if applies), None)


def _what(rest: str, value: str) -> str:
    if not rest:
        return value
    if value in (YES, NO):
        return _plain(rest) if value == YES else f"no {_plain(rest)}"
    if "_or_" in rest:
        return value
    return f"{_plain(rest)} {value}"


def _plain(name: str) -> str:
    return name.replace("_", " ").replace(".", " ").strip()


def _placed(context: str) -> str:
    plain = _plain(context)
    return plain if plain.split()[0] in _PLACING else f"for {plain}"


def _aside(context: str | None) -> str:
    return f" ({_placed(context)})" if context else ""
