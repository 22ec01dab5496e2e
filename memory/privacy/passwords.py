"""Passwords and PINs that a text says are such, in the words of several languages."""

import re
from collections.abc import Iterator

from memory.privacy.findings import Finding, Sensitive

_WORDS = (
    r"pass(?:word|wd|code|phrase|key)s?|pass[ -]word|pass|pwd|pw|passwort|kennwort|mot de passe|mdp|contraseña"
    r"|contrasena|clave(?: de acceso)?|parola d['’]ordine|parola|senha|palavra-passe|wachtwoord"
    r"|hasło|haslo|lösenord|passord|adgangskode|kodeord|salasana|şifre|heslo|jelszó|lozinka|parool"
    r"|пароль|пароля|密码|密碼|口令|パスワード|暗証番号|비밀번호|암호|पासवर्ड|κωδικός|mật khẩu"
    r"|kata sandi|סיסמה|סיסמא|รหัสผ่าน|كلمة المرور|كلمة السر"
)
_IS = (
    r"(?:is|was|has been|been)? ?(?:now )?(?:changed|set|reset|updated|geändert|cambiada|changé) (?:to|auf|zu|a|en|en)|is now|is still|is|was|will be|=|ist jetzt|ist|war|lautet|est|es|è|é|era|sarà|is nu|to|jest"
    r"|är|er|on|je|olu|это|是|は|は、|는|은|है|είναι|là|adalah|היא|คือ|هي"
)
_WORD = re.compile(
    rf"(?<![^\W_])(?:{_WORDS})(?![A-Za-z])",
    re.IGNORECASE,
)
_ABOUT = (
    r"(?: (?:for|to|of|on|at|in|für|zum|vom|de|del|du|di|da|do|van|voor)(?: [\w.'-]{1,24}){1,4}?)?"
)
_SIGN = re.compile(
    rf"{_ABOUT}\\{{0,3}}[\"'`*]{{0,2}}\s{{0,3}}(?::=|=>|->|[:=\uff1a])\s{{0,3}}"
    r"(?:\\{1,3}(?=[\"']))?",  # JSON within JSON
    re.IGNORECASE,
)
_VERB = re.compile(
    rf"{_ABOUT}\s{{0,2}}(?:{_IS})(?:\s{{1,2}}|(?<=[是は는은])|[:：]\s?)", re.IGNORECASE
)
_GENITIVE = re.compile(r"['’]s\s{1,2}")
_OPTION = re.compile(r"\s{1,2}")
_BESIDE = re.compile(r" (?=[\"'`“]?([^\s\"'`“”]{4,64}))")
_USER = re.compile(
    r"\b(?:user|username|login|account|benutzer|usuario) \S{1,40} (?:and|with|und|y|et),? ?(?:the )?$",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"[\"'`“„«「]([^\"'`”“»」\n]{1,100}?)\\{0,3}[\"'`”“»」]")
_BARE = re.compile(r"[^\s\"'`<>(){}\[\],;]\S{0,127}")
_END = ".,;:?)]}\"'`”»」>"

_NOT_ONE = frozenset(
    re.findall(
        r"\S+",
        """
        a an the not no too very always also never only still now just my your his her our their
        wrong right correct incorrect invalid valid expired required missing secret safe weak strong
        short long secure insecure empty blank same different unknown gone lost mandatory optional
        broken old new enough hidden stored saved set reset changed needed used being case-sensitive
        in on at to for from with of and or but if so that this it what which who how true false
        null none nil undefined yes yep string str text bytes int bool any var xxx todo n/a redacted
        removed protected encrypted hashed masked known given here there nicht kein falsch richtig
        abgelaufen erforderlich sicher unsicher leer das der die ein eine pas requis le la les un
        une faux expiré oublié perdu obligatoire incorrecta requerida el una olvidada non errata
        scaduta il lo não incorreta obrigatória niet verkeerd verlopen een het nie fel inte ikke
        feil rate field policy manager
        """,
    )
)
"""What people say of a password, and what stands in the place of one."""
_CODE = re.compile(
    r"[$%]\{?\w|[$%]\{|\{\{|<|\*{2,}|•|…|\.{3}|[xX]{4,}|[A-Za-z_][\w.]{0,60}[(\[]"
    r"|(?:self|this|os|process|env|config|settings|args|options|request|req|params|credentials)\."
    r"|(?:your|my|the|enter|insert|new|old|confirm|reset|forgot)[-_ ]?(?:pass|pw|new|own|secret)",
    re.IGNORECASE,
)
_SYMBOL = re.compile(r"[\d!@#$%^&*+=_~§€?]|[a-z][A-Z]")

_PIN = re.compile(
    r"(?<![^\W_])(?:pin|pin[ -]?(?:code|number|nummer)|código pin|code pin)\b"
    r"(?:\s{0,3}[:=#]\s{0,3}|\s(?:is|ist|lautet|est|es|è|é|to|är|er)\s{1,2})[\"']?(\d{4,8})(?!\w)",
    re.IGNORECASE,
)
_MY_PIN = re.compile(
    r"\b(?:my|your|her|his|our) (?:\w{1,20} ){0,2}pin (\d{4,8})(?!\w)", re.IGNORECASE
)
_PIN_BESIDE = re.compile(r"\bPIN(?: code| number)? (\d{4,8})(?![\w.-])")
_IN_COMMAND = re.compile(
    r"\b(?:mysql|mysqldump|mysqladmin|mariadb|sshpass|smbclient)\b[^\n|;]{0,100}? -p ?[\"']?([^\s\"']{4,100})"
    r"|\b(?:curl|wget|http)\b[^\n|;]{0,200}? (?:-u|--user) ?[\"']?[^\s:\"']{1,60}:([^\s\"']{1,100})"
)
_PAIR = re.compile(
    r"\b(?:credentials?|creds|login|logins|log in|sign[ -]in|zugangsdaten|identifiants)(?: are| is)? ?[:=] ?"
    r"[^\s/|:]{1,80} ?[/|:] ?([^\s/|]{4,100})",
    re.IGNORECASE,
)
_IN_URL = re.compile(r"[a-z][a-z0-9+.-]{1,20}://[^\s:/@]{0,100}:([^\s/@]{1,200})@", re.IGNORECASE)
_REVERSED = re.compile(
    r"(?<![^\s\"'`“])([^\s\"'`“”]{4,64})[\"'`”]? (?:is|was|ist|est|es) (?:my|the|our|your|mein|mon|mi)"
    r" (?:\w{1,20} ){0,3}(?:pass(?:word|code|phrase)|pwd|passwort|mot de passe|contraseña)\b",
    re.IGNORECASE,
)


def passwords(text: str) -> Iterator[Finding]:
    """Finds passwords behind a word for one, PINs, and those inside URLs."""
    for match in _WORD.finditer(text):
        span = _behind(text, match)
        if span:
            yield Finding(Sensitive.PASSWORD, *span)
    for pattern in (_PIN, _MY_PIN, _PIN_BESIDE, _IN_URL, _IN_COMMAND, _PAIR):
        for match in pattern.finditer(text):
            group = match.lastindex or 1
            if not _CODE.match(match[group]) and (pattern is not _PAIR or _SYMBOL.search(match[1])):
                yield Finding(Sensitive.PASSWORD, *match.span(group))
    for match in _REVERSED.finditer(text):
        if _SYMBOL.search(match[1]):
            yield Finding(Sensitive.PASSWORD, *match.span(1))


def _behind(text: str, word: re.Match[str]) -> tuple[int, int] | None:
    """Where the password behind a word for one stands."""
    if sign := _SIGN.match(text, word.end()):
        return _value(text, sign.end(), stated=True)
    if word.group().lower() == "pass":  # a verb, and a mountain's
        return None
    if verb := _VERB.match(text, word.end()) or _GENITIVE.match(text, word.end()):
        return _value(text, verb.end(), stated=False)
    if text[max(0, word.start() - 2) : word.start()] == "--" and (
        option := _OPTION.match(text, word.end())
    ):
        return _value(text, option.end(), stated=True)
    if beside := _BESIDE.match(text, word.end()):
        known = _USER.search(text[max(0, word.start() - 60) : word.start()])
        return _value(text, beside.end(), stated=False) if known or _mixed(beside[1]) else None
    return None


def _mixed(word: str) -> bool:
    """Whether a word has letters together with digits or signs, as words of a language have not."""
    return bool(_SYMBOL.search(word)) and any(map(str.isalpha, word)) and not word.istitle()


def _value(text: str, start: int, *, stated: bool) -> tuple[int, int] | None:
    """The span of a password that begins at `start`; `stated`: behind a sign, not a verb."""
    if quoted := _QUOTED.match(text, start):
        return None if _CODE.match(quoted[1]) else quoted.span(1)
    bare = _BARE.match(text, start)
    if not bare:
        return None
    value = bare.group().rstrip(_END)
    if value.lower() in _NOT_ONE or _CODE.match(value) or len(value) < 3:  # noqa: PLR2004
        return None
    ends = start + len(value)
    if not stated and not _SYMBOL.search(value) and not _alone(text, ends):
        return None
    return (start, ends)


def _alone(text: str, end: int) -> bool:
    """Whether nothing more is said of a word that ends there."""
    rest = text[end : end + 6].lstrip(" ")
    return not rest or not rest[0].isalnum() or rest.startswith(("and ", "und ", "et ", "y ", "e "))


def is_name_of_one(key: str, value: str) -> bool:
    """Whether a field of this name holds a password, and `value` is one and no word about it."""
    named = _WORD.search(key)
    if not named or named.end() != len(key) or key.lower() == "pass":
        return False
    return len(value) > 1 and value.lower() not in _NOT_ONE and not _CODE.match(value)
