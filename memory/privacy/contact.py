"""E-mail addresses and telephone numbers."""

import re
from collections.abc import Iterator

from memory.privacy.findings import Finding, Sensitive, before

_LOCAL = re.compile(r"[\w!#$%&'*+/=?^`{|}~.-]{1,64}\Z")
_DOMAIN = re.compile(
    r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}(?:[^\W\d_]{2,24}|xn--[\w-]{2,40})(?![\w-])"
)
_NO_MAIL = frozenset({"git", "hg", "svn"})
"""Users of addresses of repositories, `git@host:path`."""


def emails(text: str) -> Iterator[Finding]:
    """Finds e-mail addresses."""
    at = text.find("@")
    while at >= 0:
        local = _LOCAL.search(text[max(0, at - 64) : at])
        domain = _DOMAIN.match(text, at + 1)
        if local and domain:
            name = local.group().lstrip(".-'`/=&?{|}")
            name = name[name.rfind("=") + 1 :] if "=" in name else name
            repository = name in _NO_MAIL and text[domain.end() : domain.end() + 1] in (":", "/")
            if name and name[-1] != "." and not repository:
                yield Finding(Sensitive.EMAIL, at - len(name), domain.end())
        at = text.find("@", at + 1)


_DIGITS = re.compile(r"\d[\d \-./()]{5}")
_INTERNATIONAL = re.compile(
    r"(?<![\w+.])(?:\+|00) ?[1-9](?:[ ().\-/\u2011]{0,3}\d){6,14}(?![^\W_])(?!-\d)"
)
_NORTH_AMERICAN = re.compile(
    r"(?<![\w.+/-])(?<!\d )(?:1[ .-])?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}([ .-]))[2-9]\d{2}[ .-]\d{4}(?![\w/-]|\.\d)"
)
_NATIONAL = re.compile(
    r"(?<![\w.+/-])(?<!\d )(?:07\d{3} ?\d{3} ?\d{3}|0[1-9](?:[ .-]\d{2}){4}|\(?0\d{2,5}\)? ?[/-] ?\d{4,8}"
    r"|\(0\d{1,4}\) ?\d{3,4}[ -]?\d{3,5}|\(?0\d{2,4}\)?[ ]\d{3,4}[ ]\d{3,4})(?![\w/-]|[. ]\d)"
)
_BARE = re.compile(r"(?<![\w.+])\(?\d(?:[ ().\-/]{0,2}\d){6,14}(?![^\W_])")
_SAID = re.compile(
    r"(?:\b(?:call|ring|text|phone|dial|reach|whatsapp|sms)(?: (?:me|us|him|her|them))?"
    r"(?: (?:at|on|under))?|\b(?:phone|mobile|cell|telephone|tel|telefon|handy|fax|handynummer|mobil"
    r"|telefonnummer|móvil|movil|teléfono|telefono|téléphone|portable|celular|telefone|telefoon"
    r"|телефон|whatsapp)(?: (?:number|no|nr|num|numéro))?(?: (?:is|ist|est|es|è|é))?"
    r"|\bmy number is|\bmeine nummer ist|\bappelle[rz]?[ -]moi au|\b电话|電話)[.:#]{0,2} {0,2}$"
)
_FEWEST_DIGITS, _MOST_DIGITS = 7, 15
_DATE = re.compile(
    r"(?:19|20)\d{2}[-./ ]\d{1,2}[-./ ]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./](?:19|20)\d{2}"
)


def phones(text: str) -> Iterator[Finding]:
    """Finds numbers in E.164, in common national shapes, and those that a text calls numbers."""
    if not _DIGITS.search(text):
        return
    for pattern in (_INTERNATIONAL, _NORTH_AMERICAN, _NATIONAL):
        for match in pattern.finditer(text):
            yield Finding(Sensitive.PHONE, match.start(), match.end())
    for match in _BARE.finditer(text):
        if _DATE.match(match.group()) or not _SAID.search(before(text, match.start())):
            continue
        if not _followed_by_noun(text, match.end()):
            yield Finding(Sensitive.PHONE, match.start(), match.end())


def _followed_by_noun(text: str, end: int) -> bool:
    """Whether the digits count something: `call 5000000 times`."""
    return text.startswith((" times", " users", " people", " customers", "%", " €", " $"), end)
