"""National identity, tax and insurance numbers, by the shapes and check digits that are public.

A number whose shape others share counts only where a word before it says what it is.
"""

import re
from collections.abc import Callable, Iterator
from datetime import date
from typing import NamedTuple

from memory.privacy.checksums import luhn, mod_11_10, verhoeff, weighted
from memory.privacy.findings import Finding, Sensitive, before

_DNI = "TRWAGMYFPDXBNJZSQVHLCKE"
_HETU = "0123456789ABCDEFHJKLMNPRSTUVWXY"
_ODD = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3,
         6, 8, 12, 14, 16, 10, 22, 25, 24, 23),
        strict=True,
    )
)  # fmt: skip
"""What the characters of a codice fiscale count in odd places."""


class _Kind(NamedTuple):
    """A kind of number.

    shape: its pattern, without what may not touch it.
    sound: whether its check digits are right; it gets letters and digits alone, in upper case.
    said: what has to stand before it; None: its shape suffices.
    """

    shape: re.Pattern[str]
    sound: Callable[[str], bool]
    said: re.Pattern[str] | None = None


def _ssn(digits: str) -> bool:
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def _nino(text: str) -> bool:
    return text[:2] not in ("BG", "GB", "KN", "NK", "NT", "TN", "ZZ")


def _dni(text: str) -> bool:
    number = str("XYZ".find(text[0])) + text[1:-1] if text[0] in "XYZ" else text[:-1]
    return _DNI[int(number) % 23] == text[-1]


def _cpf(digits: str) -> bool:
    first, second = (
        weighted(digits[:n], tuple(range(n + 1, 1, -1))) * 10 % 11 % 10 for n in (9, 10)
    )
    return len(set(digits)) > 1 and digits[9:] == f"{first}{second}"


def _nir(text: str) -> bool:
    department = text.replace("2A", "19").replace("2B", "18")
    return department.isdecimal() and 97 - int(department[:13]) % 97 == int(department[13:])


def _personnummer(digits: str) -> bool:
    born = digits[-10:]
    return _is_day(born[2:4], born[4:6], coordination=60) and luhn(born)


def _pesel(digits: str) -> bool:
    month = int(digits[2:4]) % 20
    weights = (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)
    return _is_day(str(month), digits[4:6]) and weighted(digits, weights) % 10 == 0


def _hetu(text: str) -> bool:
    number = int(text[:6] + text[-4:-1])
    return _is_day(text[2:4], text[:2]) and _HETU[number % 31] == text[-1]


def _bsn(digits: str) -> bool:
    return int(digits) > 0 and weighted(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0


def _nhs(digits: str) -> bool:
    return weighted(digits, (10, 9, 8, 7, 6, 5, 4, 3, 2, 1)) % 11 == 0


def _steuer(digits: str) -> bool:
    return digits[0] != "0" and len(set(digits[:10])) < 10 and mod_11_10(digits)  # noqa: PLR2004


def _aadhaar(digits: str) -> bool:
    return digits[0] > "1" and verhoeff(digits)


def _fiscale(text: str) -> bool:
    even = (int(c) if c.isdecimal() else ord(c) - ord("A") for c in text[1:15:2])
    return (sum(_ODD[c] for c in text[:15:2]) + sum(even)) % 26 == ord(text[15]) - ord("A")


def _is_day(month: str, day: str, coordination: int = 0) -> bool:
    number = int(day)
    if coordination and number > coordination:
        number -= coordination
    try:
        date(2000, int(month), number)
    except ValueError:
        return False
    return True


def _shaped(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![^\W_])(?<!\d[.,-])(?:{pattern})(?![^\W_])(?![.,-]\d)", re.IGNORECASE)


def _word(words: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![^\W_])(?:{words})")


KINDS = (
    _Kind(_shaped(r"\d{3}-\d{2}-\d{4}"), _ssn),
    _Kind(
        _shaped(r"\d{3} ?\d{2} ?\d{4}"), _ssn, _word(r"ssn|social[ -]security|social sec|soc\. sec")
    ),
    _Kind(_shaped(r"[ABCEGHJ-PRSTW-Z][ABCEGHJ-NPRSTW-Z] \d{2} \d{2} \d{2} [A-D]"), _nino),
    _Kind(
        _shaped(r"[ABCEGHJ-PRSTW-Z][ABCEGHJ-NPRSTW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]"), _nino,
        _word(r"national insurance|nino\b|ni (?:number|no)"),
    ),
    _Kind(_shaped(r"(?:\d{8}|[XYZ][ -]?\d{7})[ -]?[A-HJ-NP-TV-Z]"), _dni),
    _Kind(_shaped(r"\d{2}\.\d{3}\.\d{3}-?[A-HJ-NP-TV-Z]"), _dni),
    _Kind(_shaped(r"\d{3}\.\d{3}\.\d{3}-\d{2}"), _cpf),
    _Kind(_shaped(r"\d{9}-?\d{2}"), _cpf, _word("cpf")),
    _Kind(
        _shaped(r"[12] ?\d{2} ?[0-9]\d ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}"), _nir
    ),
    _Kind(_shaped(r"\d{6}[-+]\d{4}"), _personnummer),
    _Kind(_shaped(r"(?:19|20)\d{6}-\d{4}"), _personnummer),
    _Kind(
        _shaped(r"(?:19|20)?\d{10}"),
        _personnummer,
        _word(r"person(?:al )?(?:nummer|number)|personnr|samordningsnummer"),
    ),
    _Kind(_shaped(r"\d{11}"), _pesel, _word(r"pesel")),
    _Kind(_shaped(r"\d{6}[-+A-FU-Y]\d{3}[0-9A-FHJ-NPR-Y]"), _hetu),
    _Kind(
        _shaped(r"\d{3}[ -]?\d{3}[ -]?\d{3}"), luhn,
        _word(r"sin\b|social insurance|assurance sociale|nas\b"),
    ),
    _Kind(_shaped(r"\d{9}|\d{4}[. ]\d{2}[. ]\d{3}"), _bsn, _word(r"bsn|burgerservice|sofinummer")),
    _Kind(_shaped(r"\d{3}[ -]?\d{3}[ -]?\d{4}"), _nhs, _word(r"nhs")),
    _Kind(
        _shaped(r"\d{2} ?\d{3} ?\d{3} ?\d{3}"), _steuer,
        _word(r"steuer-?id|steuerliche|idnr|tin\b|steuernummer|tax[ -]?id"),
    ),
    _Kind(_shaped(r"\d{4} \d{4} \d{4}"), _aadhaar),
    _Kind(_shaped(r"\d{4}-?\d{4}-?\d{4}"), _aadhaar, _word(r"aadhaa?r|uidai|आधार")),
    _Kind(_shaped(r"[A-Z]{6}[0-9LMNP-V]{2}[A-EHLMPRST][0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{3}[A-Z]"),
          _fiscale),
)  # fmt: skip
_SEPARATORS = re.compile(r"[ .+-]")
_LONG = re.compile(r"\d[\d .,+-]{4}|[A-Za-z]{6}\d")


def national_ids(text: str) -> Iterator[Finding]:
    """Finds national numbers of the kinds in `KINDS`."""
    if not _LONG.search(text):
        return
    for kind in KINDS:
        for match in kind.shape.finditer(text):
            if kind.said and not kind.said.search(before(text, match.start())):
                continue
            if kind.sound(_SEPARATORS.sub("", match.group()).upper()):
                yield Finding(Sensitive.NATIONAL_ID, match.start(), match.end())
