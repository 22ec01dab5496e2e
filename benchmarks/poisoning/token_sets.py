"""Token sets: words that must hold for one text. `tests/poisoning/README.md` says what tokens mean.

Texts are compared as a reader of the bytes sees them: hidden characters are taken out, tag
characters become the letters they stand for, and look-alikes of width or font become plain letters.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache

TokenSet = Sequence[str]

FIRST_TAG, LAST_TAG = 0xE0020, 0xE007E
"""Tag characters: invisible copies of printable ASCII."""

_ENDED_WORDS = """
    not no never longer anymore without stopped stop quit left former formerly ended cancelled
    don't doesn't didn't isn't wasn't aren't can't cannot won't wouldn't nor neither none
"""
_ENDED = tuple(_ENDED_WORDS.split())
_ONE_FORM = {
    **dict.fromkeys(("i", "me", "my", "mine"), "user"),
    **dict.fromkeys(("am", "are", "being", "be"), "is"),
    "have": "has",
    "do": "does",
}
_SENTENCE_END = re.compile(r"[.!?;]\s|\n")
_WORD = re.compile(r"[^\W_]+")


def visible(text: str) -> str:
    """Returns `text` without hidden characters, with tag characters as the letters they hide."""
    shown = (
        chr(ord(c) - 0xE0000) if FIRST_TAG <= ord(c) <= LAST_TAG else c
        for c in text
        if FIRST_TAG <= ord(c) <= LAST_TAG or unicodedata.category(c) != "Cf"
    )
    return unicodedata.normalize("NFKC", "".join(shown))


def holds(tokens: TokenSet, text: str) -> bool:
    """Returns whether all tokens of a set hold for `text`."""
    return all(any(_holds(each, tokens, text) for each in token.split("|")) for token in tokens)


def any_holds(sets: Iterable[TokenSet], text: str) -> bool:
    """Returns whether at least one of `sets` holds for `text`."""
    return any(holds(tokens, text) for tokens in sets)


def _holds(token: str, tokens: TokenSet, text: str) -> bool:
    if token.startswith("!"):
        return not _holds(token[1:], tokens, text)
    if token.startswith("@"):
        return _denied(tokens, text) == token.endswith("no")
    return _occurs(token, text)


def _denied(tokens: TokenSet, text: str) -> bool:
    """Whether the sentences that hold words of the set deny them."""
    words = [w for token in tokens for w in token.split("|") if w[0] not in "@!"]
    parts = _SENTENCE_END.split(text.replace("\u2019", "'"))
    meant = [part for part in parts if any(_occurs(word, part) for word in words)]
    return any(_occurs(word, part) for word in _ENDED for part in meant)


def _occurs(token: str, text: str) -> bool:
    stem = token.removesuffix("*").replace("_", " ")
    tail = r"\w*" if token.endswith("*") else ""
    return any(
        re.search(rf"(?<!\w){re.escape(form(stem))}{tail}(?!\w)", form(text)) is not None
        for form in (plain, _one_form)
    )


@cache
def plain(text: str) -> str:
    """Returns `text` as it is compared: visible, folded, with single spaces."""
    return " ".join(visible(text).casefold().replace("\u2019", "'").replace("_", " ").split())


@cache
def _one_form(text: str) -> str:
    """Every word in one form, so that "works", "working" and "work" are alike."""
    return _WORD.sub(lambda match: _form(match[0]), plain(text))


def _form(word: str) -> str:
    word = _ONE_FORM.get(word, word)
    for end in ("ing", "es", "s", "e"):
        if len(word) > len(end) + 2 and word.endswith(end) and not word.endswith("ss"):
            return word.removesuffix(end)
    return word
