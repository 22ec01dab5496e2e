"""Street addresses: a house number beside a word for a street. Cautious: a street alone is none."""

import re
from collections.abc import Iterator

from memory.privacy.findings import Finding, Sensitive

_ENGLISH = re.compile(
    r"(?<![\w.,:/-])\d{1,5}[A-Za-z]? (?:[NSEW]\.? |North |South |East |West )?"
    r"(?:(?:[A-Z][\w'’-]{1,20}|St\.|\d{1,3}(?:st|nd|rd|th)) ){1,3}"
    r"(?:Street|St|Avenue|Ave|Road|Rd|Drive|Dr|Lane|Ln|Boulevard|Blvd|Court|Ct|Place|Pl|Square|Sq"
    r"|Terrace|Loop|Row|Plaza|Alley|Trail|Walk|Quay|Wharf|Way|Parkway|Pkwy|Highway|Hwy|Close|Crescent|Circle|Gardens|Grove|Mews)\b"
    r"(?: (?:NW|NE|SW|SE|North|South|East|West)\b)?"
)
_BOX = re.compile(
    r"\b(?:P\.? ?O\.? ?Box|Postfach|Apartado|Casella postale) \d{1,6}\b", re.IGNORECASE
)
_GERMANIC = re.compile(
    r"(?<!\w)[A-ZÄÖÜ][\wäöüß-]{1,30}(?:stra(?:ß|ss)e|str\.|gasse|allee|weg|platz|ring|damm|ufer|straat"
    r"|laan|plein|gracht|kade|gatan|vägen|veien|vej) ?\d{1,4} ?(?:[a-z]\b)?(?!\w)"
)
_FRENCH = re.compile(
    r"(?<!\w)\d{1,4}(?: bis| ter)?,? (?:rue|avenue|boulevard|place|chemin|impasse|allée|quai|route)"
    r" (?:de la |de l['’]|des |du |de |d['’])?[A-ZÀ-Ý][\w'’-]{1,30}(?: [A-ZÀ-Ý][\w'’-]{1,30}){0,2}"
)
_ROMANCE = re.compile(
    r"(?<!\w)(?:[Cc]alle|[Aa]venida|[Aa]vda\.|[Pp]aseo|[Pp]laza|[Vv]ia|[Vv]iale|[Pp]iazza|[Cc]orso"
    r"|[Rr]ue|[Bb]oulevard|[Cc]hemin|[Rr]ua|[Pp]raça) (?:de la |de los |del |della |dei |de |da |do |dos )?[A-ZÀ-Ý][\w'’-]{1,30}"
    r"(?: [A-ZÀ-Ý][\w'’-]{1,30}){0,3},? (?:n\.?[º°]? ?)?\d{1,4}(?!\w)"
)
_YEAR = re.compile(r"(?:18|19|20)\d{2} ")
_COUNTED = re.compile(r"\d{1,3} (?:Star|Mile|Minute|Hour|Day|Week|Month|Year|Man|Point|Part)s?\b")
_IN = re.compile(r"\b(?:in|since|of|from|until|by|during|after|before)\s$", re.IGNORECASE)
_DIGIT = re.compile(r"\d")
_LONGEST_WORD_BEFORE = 8


def addresses(text: str) -> Iterator[Finding]:
    """Finds street addresses and boxes in English, German, Dutch, Nordic and Romance forms."""
    if not _DIGIT.search(text):
        return
    for pattern in (_ENGLISH, _BOX, _GERMANIC, _FRENCH, _ROMANCE):
        for match in pattern.finditer(text):
            start = match.start()
            said = text[max(0, start - _LONGEST_WORD_BEFORE) : start]
            counts = _COUNTED.match(match.group())
            if counts or (_YEAR.match(match.group()) and _IN.search(said)):
                continue
            yield Finding(Sensitive.ADDRESS, *match.span())
