"""Cuts the clauses in which people say something about themselves out of their sentences.

A clause begins at its subject ("I", "my sister") where a main clause can begin, and ends before the
next one. Questions, conditions, wishes and reported speech are left out here, so that the patterns
after this step need no context.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from extractors.reading.english.lexicon import KIN, any_of
from extractors.reading.english.own_words import Sentence
from extractors.reading.english.verbs import (
    USES,
    Form,
    Use,
    inflection,
)

_LONGEST_CLAUSE = 240
_FRONT_WINDOW = 60
_SCOPE = 300  # characters in front in which an "if" still counts


@dataclass(frozen=True, slots=True)
class Clause:
    """A main clause whose subject is the author, or a person or thing of theirs.

    start, end: offsets into the message; a time in front is included ("Last year I moved").
    text: the masked message from `start` to `end`.
    subject: offset of the subject in `text`.
    """

    start: int
    end: int
    text: str
    subject: int

    @property
    def core(self) -> str:
        """The clause from its subject on."""
        return self.text[self.subject :]

    @property
    def front(self) -> str:
        """The time in front, or nothing."""
        return self.text[: self.subject].strip(" ,")


def clauses(sentence: Sentence) -> Iterator[Clause]:
    """Yields the clauses of `sentence` that assert something about the author's own, in order."""
    text, done = sentence.text, 0
    first = _ASKING.search(text)
    asked = first.end() if first else len(text)
    for at in _subjects(text):
        end = clause_end(text, at) if at >= done and _asserted(text, at, asked) else None
        if end is None or (sentence.asks and _is_the_question(text, at, end)):
            continue
        front = _front(text, at)
        start = front.start("front") if front else at
        done = end
        yield Clause(sentence.start + start, sentence.start + end, text[start:end], at - start)


def clause_end(text: str, at: int) -> int | None:
    """Returns the end of the clause that begins at `at`; None if it is too far away."""
    company = _AND_I.match(text, at)
    limit = at + 2 * _LONGEST_CLAUSE
    found = _NEXT.search(text, company.end() if company else at + 2, limit)
    end = found.start() if found else min(len(text), limit)
    end = at + len(text[at:end].rstrip(" ,.!?)\"'"))
    if end - at <= _LONGEST_CLAUSE:
        return end
    comma = text.rfind(",", at, at + _LONGEST_CLAUSE)
    return comma if comma > at else None


# Where a clause begins ----------------------------------------------------------------------------

_SUBJECT = re.compile(
    r"(?<![\w'\ufffc.-])(?:i|we|my|our)(?=['\s])|(?<![\w'-])(?:im|ive)(?=\s)", re.IGNORECASE
)
_ELIDED = re.compile(
    rf"\s*(?:{any_of('hey oh wow yeah yep yes ok okay so and also thanks man well actually hi')}"
    r"[,!]?\s+)*(?:(?:just|recently|finally|already)\s+)*"
    r"(?P<been>(?:(?:just|still|currently|also)\s+)*(?:been\s+(?:busy\s+)?|still\s+|currently\s+))?"
    r"(?P<verb>[a-z]+)\b",
    re.IGNORECASE,
)
_STARTS_ELIDED = frozenset(("research", "plan", "hope", "think", "consider", "try", "work", "look"))
_ASIDE = re.compile(r"\s[-\u2013\u2014]|\u2014|,\swhich\b|;")
_FINITE = re.compile(
    r"\s"
    + any_of(
        "is are was were has have makes made help helps helped gives gave brings can feels takes"
        " keeps sound sounds would will me you your"
    )
    + r"\b",
    re.IGNORECASE,
)
_MONTH = any_of(
    "january february march april may june july august september october november december"
)
_DATE_WORD = (
    rf"(?:{_MONTH}|\d{{1,4}}(?:st|nd|rd|th)?|(?:mon|tues|wednes|thurs|fri|satur|sun)day|"
    + any_of(
        "yesterday today tonight tomorrow last this next past the early late mid earlier back just"
        " about around in on since at by during until ago of a an few couple one two three four"
        " five six seven eight nine ten day days week weeks weekend weekends month months year"
        " years summer spring fall autumn winter morning evening afternoon night christmas"
    )
    + ")"
)
_TELLING_DATE_WORD = (
    rf"(?:\d{{4}}|{_MONTH}|day|week|month|year|night|morning|evening|afternoon|tomorrow|mas\b"
    r"|spring|summer|fall|autumn|winter)"
)
_FRONT = re.compile(
    r"(?:(?:\A|[,;:(\u2013\u2014]|\s-)\s*|\b(?:and|but|so|because|since|as|plus|then)\s+)"
    rf"(?P<front>(?=[^\n]*?{_TELLING_DATE_WORD}){_DATE_WORD}(?:[ ,]+{_DATE_WORD})*,?\s+)\Z",
    re.IGNORECASE,
)
_TELLING = re.compile(_TELLING_DATE_WORD, re.IGNORECASE)
_OPENERS = any_of(
    "well yeah yes yep yup no nope oh wow hey hi hello thanks ok okay sure sorry also actually"
    " honestly frankly personally btw by_the_way fyi anyway anyways lately recently currently"
    " nowadays right_now now these_days at_the_moment in_fact to_be_honest tbh unfortunately sadly"
    " luckily fortunately finally besides additionally however still instead meanwhile again"
    " of_course remember_that remember note_that please_note just_so_you_know so fun_fact plus then"
    " keep_in_mind_that keep_in_mind guess_what turns_out"
)
_OPEN = re.compile(
    r"(?:\A|[,;:(\u2013\u2014]|\s-)\s*(?:(?:and|but|so|also|plus|because)\s+)?\Z"
    r"|\b(?P<link>and|but|so|because|cause|'cause|cuz|since|as|considering|given|given that"
    r"|considering that|although|though|while|whereas|plus|then)\s+\Z"
    rf"|(?:\A|[,;:]\s*|\b(?:and|but|so)\s+){_OPENERS}[, ]\s*\Z"
    r"|\b(?:let (?:you|ya) know|tell (?:you|ya)|fact(?: is)?)(?: that)?\s+\Z",
    re.IGNORECASE,
)
UNREAL = re.compile(
    r"\b"
    + any_of(
        "if unless whether imagine suppose supposing pretend wish wishes assuming as_though in_case"
        " let's_say what_if would_have could_have in_another_life"
    )
    + r"\b",
    re.IGNORECASE,
)
"""A condition or a wish: nothing after it is asserted."""
_REPORTED = re.compile(
    r"\b\w+\s+(?:(?:\w+ly|just|always|also)\s+)?(?:told\s\w+|tells\s\w+|"
    + any_of(
        "said says say saying asked asks think thinks claim claims claimed mentioned suggested"
        " believe believes insist insists insisted reckons joked wrote"
    )
    + r")\b[^;:]{0,60}\Z",
    re.IGNORECASE,
)
_BY_SPEAKER = re.compile(
    r"\b(?:i|we)\s+(?:\w+\s+)?(?:said|say|told|asked|think|mentioned)\b", re.IGNORECASE
)
_ASKING = re.compile(
    r"(?:\A|[,;:\u2013\u2014-]\s*|\b(?:and|but|so|or|hmm)\s+)(?:"
    + any_of("can could would will should shall do does did is are am was were have has may any")
    + r"\s+\w|(?:what|how|why|when|where|which|who)\b(?!\s+(?:i|we|my|our)\b)"
    r"|what's|how's|where's|who's|help me|tell me|show me|explain)",
    re.IGNORECASE,
)
_EXPLAINS = re.compile(
    r"(?:considering|given|since|because|as|cause|cuz)(?: that)?\s+\Z", re.IGNORECASE
)
_STRONG_BREAK = re.compile(r";|,?\s\bbut\b")


def _subjects(text: str) -> Iterator[int]:
    """Offsets of subjects, and of verbs whose subject "I" is left out."""
    elided = _ELIDED.match(text, 0, _SCOPE)
    if elided:
        lemma, form = inflection(elided["verb"].lower())
        told = Form.PAST in form and Form.LEMMA not in form and Use.EVENT in USES.get(lemma, Use(0))
        ongoing = Form.ING in form and (elided["been"] or lemma in _STARTS_ELIDED)
        at = elided.start("been") if elided["been"] else elided.start("verb")
        end = clause_end(text, at) if told or elided["been"] else _aside(text)
        if (told or ongoing) and not _FINITE.search(text, elided.end(), end or -1):
            yield at
    for subject in _SUBJECT.finditer(text):
        yield subject.start()


def _aside(text: str) -> int:
    """The start of a remark that is no longer part of the main clause."""
    found = _ASIDE.search(text)
    return found.start() if found else len(text)


def _front(text: str, at: int) -> re.Match[str] | None:
    """The time in front of a clause that begins at `at`."""
    window = max(0, at - _FRONT_WINDOW)
    if not _TELLING.search(text, window, at):
        return None
    return _FRONT.search(text, window, at)


def _asserted(text: str, at: int, asked: int) -> bool:
    """Whether a main clause begins at `at` that the author asserts.

    `asked` is where the first words of a question end.
    """
    if not _SUBJECT.match(text, at):
        return not UNREAL.search(text)
    window = max(0, at - _FRONT_WINDOW)
    opened = _OPEN.search(text, window, at)
    if not opened and not _front(text, at):
        return False
    scope = _STRONG_BREAK.split(text[max(0, at - _SCOPE) : at])[-1]
    if UNREAL.search(scope):
        return False
    link = opened["link"] if opened else None
    if link != "so" and _REPORTED.search(scope) and not _BY_SPEAKER.search(scope):
        return False
    # What only looks like a question because the clause cuts it off is near.
    asking = asked <= at or _ASKING.search(text, max(0, at - _SCOPE), at)
    return link not in {"and", "then", "while", "plus"} or not asking


def _is_the_question(text: str, at: int, end: int) -> bool:
    """Whether the clause carries the question mark itself; "…, since I live in Rome?" does not."""
    before = max(0, at - _FRONT_WINDOW)
    return not text[end:].strip(" )") and not _EXPLAINS.search(text, before, at)


# Where a clause ends ------------------------------------------------------------------------------

_NEW_SUBJECT = any_of(
    "i we you he she it they there i'm it's we're he's she's they're that's i've we've you're"
    " i'll i'd"
)
_KIN = "|".join(sorted(KIN, key=len, reverse=True))
_AND_I = re.compile(rf"(?:my|our)\s(?:\w+\s){{0,2}}?(?:{_KIN})(?:\s\w+)?\sand\si\s", re.IGNORECASE)
_JOINED = (  # what begins another clause when no comma stands before it
    any_of(
        "but because 'cause cuz although though whereas which so_that if unless while when whenever"
        " where given_that whose who who's thanks_to"
    )
    + r"|(?<!\bwhat )(?<!\bthat )(?<!\bhow )(?:i'm|i've|we're|we've)|considering\s(?:that|the|my|"
    + _NEW_SUBJECT
    + r")|so\s(?!much|many|far|on\b)"
    r"|(?<!\bsee )(?<!\bof )(?<!\bon )(?<!\bin )(?<!\bwith )(?<!about )(?<!\bknow )(?<!\blearn )"
    r"(?<!\bout )(?<!explore )(?:what|why|how\s(?!to\b|much\b|many\b))"
    rf"|(?:and|or|since|as|that|until|before|after|so|then)\s(?:now\s)?{_NEW_SUBJECT}"
    r"|and\s(?:my|our|his|her|their|this|that|these|those|now|then|also)\s\w+\s(?:\w+\s)?"
    + any_of("is are was were has have had will can would helped made said")
    + rf"|and\s(?:my|our)\s(?:\w+\s)?(?:{_KIN})\s(?:\w+s|\w+ed|live|love|have|are)\b"
    r"|and\s" + any_of("can could should would do does is are how what why where when also so let")
)
_AFTER_COMMA = (
    _NEW_SUBJECT
    + r"\b|and\s"
    + any_of(
        "i we you he she it they there i'm it's we're my our your then the this that also so can"
        " could how what now is was has even"
    )
    + r"\b|instead\b(?! of)|rather\b(?! than)|"
    + any_of(
        "this that these those here my our your his her their its so but yet or which who whose"
        " who's what how where when why whether can could would will should do does did is are am"
        " was were have has because cause since as considering given especially specifically"
        " particularly like such right you_know though although however while if unless thanks"
        " thank lol haha please even not any hopefully maybe perhaps let's then just wow yeah"
        " definitely really one making allowing helping giving leading resulting hoping wondering"
        " thinking aiming looking feeling knowing trying including focusing using too also due"
        " mentioning ensuring hey in_order huh no with after before"
    )
    + r"\b"
)
_NEXT = re.compile(
    r"[;(\u2026]|:(?=\s|\Z)|-\s|\s[-\u2013\u2014]+\s|\u2014|--"
    rf"|\s(?:{_JOINED})(?=\W|\Z)"
    r"|,\s*(?=(?:[\w']+\s){1,5}(?:is|are|was|were|has|have|had|would|can|will|makes|helps|ends|starts|begins)\b)"
    r"|,\s(?=(?:the|an?|my|our)\s\w+\s(?:\w+ed|gave|got|took|made|said|went|came|had|told)\b)"
    r"|,\sand\s(?-i:[A-Z])\w+\s\w+ed\b"
    rf"|,\s*(?=(?:{_AFTER_COMMA}))",
    re.IGNORECASE,
)
