"""Scans a text with every recogniser that is wanted, also where it is written unusually."""

import re
import sys
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from functools import cache

from memory.privacy.addresses import addresses
from memory.privacy.contact import emails, phones
from memory.privacy.credentials import api_keys
from memory.privacy.findings import Finding, Recogniser, Sensitive
from memory.privacy.national_ids import national_ids
from memory.privacy.passwords import passwords
from memory.privacy.payment import accounts, cards

RECOGNISERS: dict[Sensitive, Recogniser] = {
    Sensitive.PAYMENT_CARD: cards,
    Sensitive.BANK_ACCOUNT: accounts,
    Sensitive.NATIONAL_ID: national_ids,
    Sensitive.API_KEY: api_keys,
    Sensitive.PASSWORD: passwords,
    Sensitive.EMAIL: emails,
    Sensitive.PHONE: phones,
    Sensitive.ADDRESS: addresses,
}

ALL = frozenset(Sensitive)
MASK = "•"

_YIELDS = {
    Sensitive.NATIONAL_ID: (Sensitive.PAYMENT_CARD, Sensitive.BANK_ACCOUNT, Sensitive.API_KEY),
    Sensitive.PHONE: (
        Sensitive.PAYMENT_CARD, Sensitive.BANK_ACCOUNT, Sensitive.NATIONAL_ID, Sensitive.API_KEY
    ),
}  # fmt: skip
"""Classes whose shapes are loose, and those whose numbers hold such shapes."""

_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_UNUSUAL = re.compile(r"[^\x00-\u00ff\u0370-\u052f]")


def scan(
    text: str, wanted: Collection[Sensitive] = ALL, more: Iterable[Recogniser] = ()
) -> tuple[Finding, ...]:
    """Returns what a text holds of the wanted classes, in order; spans may overlap.

    more: recognisers beside our own.

    Digits and letters of other scripts' forms, unusual spaces and dashes, and characters that are
    not seen do not hide a value. It takes linear time.
    """
    if not text or not wanted:
        return ()
    plain, places = _plain(text)
    found = _found(plain, frozenset(wanted))
    found += [f for recogniser in more for f in recogniser(plain) if f.sensitive in wanted]
    if places:
        found = [Finding(f.sensitive, places[f.start], places[f.end - 1] + 1) for f in found]
    return tuple(sorted(set(found), key=lambda f: (f.start, f.end, f.sensitive)))


def _found(text: str, wanted: frozenset[Sensitive]) -> list[Finding]:
    needed = wanted.union(*(_YIELDS.get(sensitive, ()) for sensitive in wanted))
    by_class = {each: list(RECOGNISERS[each](text)) for each in Sensitive if each in needed}
    for loose, holders in _YIELDS.items():
        if loose in wanted:
            held = [f for holder in holders for f in by_class[holder]]
            by_class[loose] = _outside(by_class[loose], held)
    return [finding for each in wanted for finding in by_class[each]]


def _outside(findings: Iterable[Finding], held: Iterable[Finding]) -> list[Finding]:
    """The findings that share no character with what is held."""
    spans = _joined(held)
    outside, nth = [], 0
    for finding in sorted(findings, key=lambda f: f.start):
        while nth < len(spans) and spans[nth][1] <= finding.start:
            nth += 1
        if nth == len(spans) or spans[nth][0] >= finding.end:
            outside.append(finding)
    return outside


def _joined(findings: Iterable[Finding]) -> list[tuple[int, int]]:
    """The spans of findings, those that overlap made one."""
    spans: list[tuple[int, int]] = []
    for _, start, end in sorted(findings, key=lambda f: f.start):
        if spans and start <= spans[-1][1]:
            spans[-1] = spans[-1][0], max(end, spans[-1][1])
        else:
            spans.append((start, end))
    return spans


def mask(text: str, findings: Iterable[Finding]) -> str:
    """Returns the text with `MASK` for each character that was found; line breaks stay.

    It has the length of the text, so offsets into it stay true.
    """
    pieces, after = [], 0
    for start, end in _joined(findings):
        pieces += [text[after:start], _masked(text[start:end])]
        after = end
    return "".join([*pieces, text[after:]])


def _masked(value: str) -> str:
    return "\n".join(MASK * len(line) for line in value.split("\n"))


def _plain(text: str) -> tuple[str, Sequence[int]]:
    """The text as it is usually written; if characters were left out, the place of each other."""
    if text.isascii():
        return text, ()
    places: Sequence[int] = ()
    if _UNSEEN.search(text):
        unseen = {match.start() for match in _UNSEEN.finditer(text)}
        places = [place for place in range(len(text)) if place not in unseen]
        text = _UNSEEN.sub("", text)
    return (text.translate(_usual()) if _UNUSUAL.search(text) or "\u00a0" in text else text), places


@cache
def _usual() -> dict[int, str]:
    """Unusual characters, and the one that each stands for."""
    usual = {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
    usual |= dict.fromkeys([*range(0x2010, 0x2016), 0x2212, 0xFE58, 0xFE63], "-")
    for code in range(0x80, sys.maxunicode + 1):
        character = chr(code)
        if character.isdecimal():
            usual[code] = str(unicodedata.decimal(character))
        elif character.isspace() and unicodedata.category(character) == "Zs":
            usual[code] = " "
    return usual
