"""Payment cards and bank accounts: numbers with public shapes and check digits."""

import re
from collections.abc import Iterator, Sequence

from memory.privacy.checksums import luhn, mod_97
from memory.privacy.findings import Finding, Sensitive, before

_ISSUED = (
    (re.compile(r"4"), (13, 16, 19)),
    (re.compile(r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), (16,)),
    (re.compile(r"3[47]"), (15,)),
    (re.compile(r"30[0-5]|3095|3[689]"), (14, 16, 19)),
    (re.compile(r"6011|64[4-9]|65"), (16, 19)),
    (re.compile(r"35(?:2[89]|[3-8])"), (16, 17, 18, 19)),
    (re.compile(r"62|81"), (16, 17, 18, 19)),
    (re.compile(r"50(?:18|20|38)|5[68]|6[0137]"), (13, 14, 15, 16, 17, 18, 19)),
    (re.compile(r"220[0-4]"), (16, 17, 18, 19)),
    (re.compile(r"60|65|81|82|508|353|356"), (16,)),
)
"""How the numbers of an issuer begin, and how long they are (ISO/IEC 7812)."""

_FEWEST, _MOST, _MOST_SINGLE = 13, 19, 40
_GROUP = re.compile(r"(?<![^\W_])\d{1,19}(?![^\W_])")
_GAP = re.compile(r" ?[ \-./] ?")
_IRREGULAR = {(4, 6, 5), (4, 6, 4), (6, 13), (8, 8), (4, 4, 5)}
_ANOTHER = re.compile(
    r"\b(?:order|tracking|invoice|ticket|serial|isbn|ean|gtin|imei|parcel|shipment|sku|part|case)"
    r"(?: ?(?:number|no\.?|nr\.?|id|code|#))?(?: is)? ?[:#=]? ?$"
)

_LENGTHS = dict(
    re.findall(
        r"([A-Z]{2}):(\d\d)",
        """
        AD:24 AE:23 AL:28 AT:20 AZ:28 BA:20 BE:16 BG:22 BH:22 BI:27 BR:29 BY:28 CH:21 CR:22 CY:28
        CZ:24 DE:22 DJ:27 DK:18 DO:28 EE:20 EG:29 ES:24 FI:18 FK:18 FO:18 FR:27 GB:22 GE:22 GI:23
        GL:18 GR:27 GT:28 HN:28 HR:21 HU:28 IE:22 IL:23 IQ:23 IS:26 IT:27 JO:30 KW:30 KZ:20 LB:28
        LC:32 LI:21 LT:20 LU:20 LV:21 LY:25 MC:27 MD:24 ME:22 MK:19 MN:20 MR:27 MT:31 MU:30 NI:28
        NL:18 NO:15 OM:23 PK:24 PL:28 PS:29 PT:25 QA:29 RO:24 RS:22 RU:33 SA:24 SC:31 SD:18 SE:24
        SI:19 SK:24 SM:27 SO:23 ST:25 SV:28 TL:23 TN:24 TR:26 UA:29 VA:22 VG:24 XK:20 YE:30
        """,
    )
)
"""Characters of an IBAN by country, as in the registry of ISO 13616."""

_ACCOUNT = re.compile(r"(?<![^\W_])[A-Za-z]{2}\d{2}(?=[ -]?[A-Za-z0-9])")
_SPACES = re.compile(r"[ -]")


def cards(text: str) -> Iterator[Finding]:
    """Finds card numbers by issuer, length and check digit, in one piece or evenly grouped."""
    groups: list[re.Match[str]] = []
    gap = ""
    for group in _GROUP.finditer(text):
        between = text[groups[-1].end() : group.start()][:4] if groups else ""
        if len(groups) > 1 and between != gap:
            yield from _cards(text, groups)
            groups = groups[-1:]
        if groups and not _GAP.fullmatch(between):
            yield from _cards(text, groups)
            groups = []
        groups.append(group)
        gap = between
    yield from _cards(text, groups)


def _cards(text: str, groups: Sequence[re.Match[str]]) -> Iterator[Finding]:
    """Finds the numbers in groups of digits that stand apart by the same character."""
    if len(groups) > _MOST_SINGLE and all(len(group.group()) == 1 for group in groups):
        return  # a list of digits
    first = 0
    while first < len(groups):
        last = _last(groups, first)
        if last is None or _ANOTHER.search(before(text, groups[first].start())):
            first += 1
            continue
        yield Finding(Sensitive.PAYMENT_CARD, groups[first].start(), groups[last].end())
        first = last + 1


def _last(groups: Sequence[re.Match[str]], first: int) -> int | None:
    """The last group of the longest number that begins with a group."""
    digits, sizes, found = "", [], None
    for nth in range(first, min(len(groups), first + _MOST)):
        digits += groups[nth].group()
        sizes.append(len(groups[nth].group()))
        if len(digits) > _MOST:
            break
        if len(digits) >= _FEWEST and _even(sizes) and _is_card(digits):
            found = nth
    return found


def _even(sizes: Sequence[int]) -> bool:
    alike = len(set(sizes[:-1])) <= 1 and sizes[-1] <= sizes[0]
    return alike or tuple(sizes) in _IRREGULAR


def _is_card(digits: str) -> bool:
    issued = any(len(digits) in sizes and start.match(digits) for start, sizes in _ISSUED)
    return issued and len(set(digits)) > 1 and luhn(digits)


def accounts(text: str) -> Iterator[Finding]:
    """Finds IBANs by country, length and check digits, in one piece or in groups."""
    for match in _ACCOUNT.finditer(text):
        length = int(_LENGTHS.get(match.group()[:2].upper(), 0))
        end = _end(text, match.start(), length)
        account = _SPACES.sub("", text[match.start() : end]).upper()
        if 0 < length == len(account) and mod_97(account):
            yield Finding(Sensitive.BANK_ACCOUNT, match.start(), end)


def _end(text: str, start: int, characters: int) -> int:
    """Where so many letters and digits from `start` end; `start` if another one follows."""
    at, left = start, characters
    while left and at < len(text):
        left -= text[at] not in " -"
        at += 1
    return start if left or (at < len(text) and text[at].isalnum()) else at
