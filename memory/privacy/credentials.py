"""API keys and tokens: by their makers' shapes, by what a text calls them, by how random they look.

The last is cautious: hashes, UUIDs, commits and encoded files look random as well.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator

from memory.privacy.findings import Finding, Sensitive, before

_KNOWN = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"gh[pousr]_[A-Za-z0-9]{30,255}|github_pat_[A-Za-z0-9_]{22,255}"
    r"|gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|oas|soat)-[A-Za-z0-9_-]{16,300}"
    r"|sk-(?:proj|svcacct|admin|ant|or|lf)-[A-Za-z0-9_-]{16,300}|sk-[A-Za-z0-9]{20,100}"
    r"|(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{10,250}|whsec_[A-Za-z0-9+/=]{20,100}"
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,300}|xapp-\d-[A-Za-z0-9-]{10,300}"
    r"|(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])"
    r"|AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{20,400}|GOCSPX-[A-Za-z0-9_-]{20,60}"
    r"|npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{50,300}|hf_[A-Za-z]{2}[A-Za-z0-9]{28,60}"
    r"|rubygems_[a-f0-9]{48}|dckr_pat_[A-Za-z0-9_-]{20,60}|PMAK-[a-f0-9]{24}-[a-f0-9]{34}"
    r"|SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{32,64}|key-[a-f0-9]{32}(?![A-Za-z0-9])"
    r"|do[opr]_v1_[a-f0-9]{64}|hv[sbr]\.[A-Za-z0-9_-]{20,300}|shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{32}"
    r"|EAA[A-Za-z0-9]{80,300}|sq0(?:atp|csp)-[A-Za-z0-9_-]{22,50}|EAAA[A-Za-z0-9_-]{60}"
    r"|\d{8,10}:[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])|lin_api_[A-Za-z0-9]{32,48}"
    r"|(?:secret|ntn)_[A-Za-z0-9]{40,60}|figd_[A-Za-z0-9_-]{36,60}|nvapi-[A-Za-z0-9_-]{40,100}"
    r"|gsk_[A-Za-z0-9]{40,60}|r8_[A-Za-z0-9]{30,50}|xai-[A-Za-z0-9]{60,100}|pplx-[A-Za-z0-9]{40,60}"
    r"|tskey-[a-z]{2,10}-[A-Za-z0-9-]{16,80}|glsa_[A-Za-z0-9]{32}_[a-f0-9]{8}|dapi[a-f0-9]{32}"
    r"|hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/_-]{20,100}"
    r"|discord(?:app)?\.com/api/webhooks/\d{10,25}/[A-Za-z0-9_-]{40,100}"
    r"|[A-Za-z0-9_~.-]{3}\dQ~[A-Za-z0-9_~.-]{20,40}|sntry[su]_[A-Za-z0-9+/=_-]{30,300}|ATATT3[A-Za-z0-9_=-]{50,300}|age-secret-key-1[a-z0-9]{50,70}"
    r"|AGE-SECRET-KEY-1[A-Z0-9]{50,70}|NRAK-[A-Z0-9]{27}|phc_[A-Za-z0-9]{40,50}"
    r"|eyJ[A-Za-z0-9_-]{8,4000}\.eyJ[A-Za-z0-9_-]{4,20000}\.[A-Za-z0-9_-]{0,2000}"
    r")"
)
"""Tokens by the beginnings that their makers gave them; the last one is a JSON Web Token."""

_PEM = re.compile(r"-----BEGIN ((?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?)-----")
_PEM_END = re.compile(r"-----END (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_MOST_PEM = 20_000
"""Characters of a private key at most; one without an end is taken to that length."""

_TOKEN = re.compile(r"[A-Za-z0-9_.+/=:~-]{12,}")
"""What may hold a token, so that most of a text is passed over quickly."""

_CALLED = re.compile(
    r"(?i:(?<![a-z0-9])(?:api[ _-]?key|api[ _-]?token|(?:access|secret|auth|account|encryption"
    r"|private|signing|shared|master|license|subscription|webhook|client)[ _-]?(?:key|secret|token)"
    r"|(?:bot|bearer|refresh|session|personal|deploy|id)[ _-]?token|secret[ _-]access[ _-]key"
    r"|authtoken|apikey|bearer|secret|token|key"
    r"|clé(?: api)?|clave(?: api)?|llave|chiave(?: api)?|chave(?: api)?|api[ -]?schlüssel|schlüssel"
    r"|ключ|токен|密钥|キー))"
    r"(?P<link>[\"'`]?\s{0,3}(?::=|=>|[:=\uff1a]|[-–—] )\s{0,3}|\s(?i:is|ist|est|es|è|é|to)[ :]\s{0,2}|\s)"
    r"[\"'`]?(?P<value>[^\s\"'`,;<>(){}\[\]]{6,512})"
)
_VALUE = re.compile(r"[A-Za-z0-9_.+/=~:!$%&*#@-]{8,512}")
_SHORT = re.compile(r"(?:sk|pk|rk|api|key|tok|token|secret)[-_][A-Za-z0-9_-]{4,}")
_LOOKUP = re.compile(
    r"[$%]|[a-z_]+(?:\.[a-z_]+)+$|(?:your|my|the|example|dummy|sample|test|xxx|todo|changeme)",
    re.IGNORECASE,
)

_NUMBERED = re.compile(r"[A-Za-z]+\d{1,4}")
"""A word and a year or a number, such as the name of a conference."""

_WORDY = re.compile(r"[a-z]{6,}|[A-Z][a-z]{3,}[A-Z][a-z]{3,}")
_RANDOM = re.compile(r"(?<![A-Za-z0-9+/_=.:-])[A-Za-z0-9+/_-]{32,64}={0,2}(?![A-Za-z0-9+/_=.:-])")
_ENCODED = ("iVBOR", "/9j/", "R0lGOD", "JVBER", "UEsDB", "MII", "AAAA", "PHN2Z", "PD94b")
_PUBLIC = re.compile(
    r"(?:base64,|ssh-\w{2,10}|ecdsa-\S{4,20}|sha\d{3}|integrity\W{1,3}\S{0,10}) ?$"
)
_LEAST_BITS = 4.2


def api_keys(text: str) -> Iterator[Finding]:
    """Finds keys and tokens."""
    yield from _private_keys(text)
    for token in _TOKEN.finditer(text):
        for match in _KNOWN.finditer(token.group()):
            start = token.start() + match.start()
            yield Finding(Sensitive.API_KEY, start, start + len(match.group()))
    yield from _called(text)
    yield from _random(text)


def _private_keys(text: str) -> Iterator[Finding]:
    after = 0
    while match := _PEM.search(text, after):
        most = match.start() + _MOST_PEM
        end = _PEM_END.search(text, match.end(), most)
        after = end.end() if end else min(len(text), most)
        yield Finding(Sensitive.API_KEY, match.start(), after)


def _called(text: str) -> Iterator[Finding]:
    """Finds what stands behind a word for a key, if it looks like one."""
    for match in _CALLED.finditer(text):
        value = match["value"].rstrip(".!?:")
        said = bool(match["link"].strip())
        if _is_key(value, said=said):
            yield Finding(
                Sensitive.API_KEY, match.start("value"), match.start("value") + len(value)
            )


def _is_key(value: str, *, said: bool) -> bool:
    """Whether a word is a key, where a text calls it one; `said`: with a sign or a verb."""
    if said and _SHORT.fullmatch(value) and any(map(str.isdecimal, value)):
        return True
    if not _VALUE.fullmatch(value) or _LOOKUP.match(value) or "://" in value:
        return False
    digits = sum(map(str.isdecimal, value))
    letters = sum(map(str.isalpha, value))
    least = 12 if said else 20
    if len(value) < least or len(set(value)) <= len(value) // 5 or _NUMBERED.fullmatch(value):
        return False
    cased = value.lower() != value != value.upper() and not _WORDY.search(value)
    return letters > 1 and (digits > 1 or (cased and bits(value) >= _LEAST_BITS))


def _random(text: str) -> Iterator[Finding]:
    """Finds words of letters in both cases and digits that no language makes, and no encoder."""
    for match in _RANDOM.finditer(text):
        value = match.group().rstrip("=")
        mixed = sum(map(str.isdecimal, value)) > 2 and value.lower() != value != value.upper()  # noqa: PLR2004
        if not mixed or value.startswith(_ENCODED) or _WORDY.search(value):
            continue
        random = value.count("/") <= 3 and bits(value) >= _LEAST_BITS  # noqa: PLR2004
        if random and not _PUBLIC.search(before(text, match.start())):
            yield Finding(Sensitive.API_KEY, match.start(), match.end())


def bits(text: str) -> float:
    """Returns Shannon's entropy of a text, in bits a character."""
    counts = Counter(text).values()
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts)
