"""Reads the verb of a clause with its tense and negation, and retells the clause."""

import re
from dataclasses import dataclass, field
from enum import StrEnum

from extractors.reading.english.lexicon import FILLER, FREQUENCY, KIN
from extractors.reading.english.verbs import (
    FORMS,
    Form,
    inflection,
    third_person,
)


class Tense(StrEnum):
    """The tense of a clause."""

    PRESENT = "present"
    PAST = "past"
    PERFECT = "perfect"
    ONGOING = "ongoing"
    PAST_ONGOING = "past ongoing"
    PERFECT_ONGOING = "perfect ongoing"
    FUTURE = "future"
    INTENDED = "intended"
    USED_TO = "used to"
    MODAL = "modal"


@dataclass(frozen=True, slots=True)
class Subject:
    """The subject of a clause: `relation` is None for the speaker, else the word for it ("sister").

    plural: "we", or more than one of them.
    name: their name, if it is given.
    company: who else ("my wife and I").
    """

    text: str
    relation: str | None = None
    name: str | None = None
    plural: bool = False
    company: str | None = None


@dataclass(frozen=True, slots=True)
class VerbGroup:
    """The verb of a clause.

    verb: its lemma; `be` for "I'm a nurse" and "I was born".
    form: the inflected word, as written.
    time: of `be`: "am" or "was", else "".
    never, negated, ended: "never", "not", "no longer" or "any more".
    adverbs: those worth keeping, in order.
    rest: the words after the verb, with their offset in the clause's core.
    """

    subject: Subject
    tense: Tense
    verb: str
    form: str
    rest: str
    rest_start: int
    never: bool = False
    negated: bool = False
    ended: bool = False
    adverbs: tuple[str, ...] = ()

    @property
    def denied(self) -> bool:
        """Negated in any way."""
        return self.never or self.negated or self.ended


# Reading ------------------------------------------------------------------------------------------

_TOKEN = re.compile(r"[^\s,]+,?")
_CONTRACTED = {
    "'m": "be", "'re": "be", "'ve": "have", "'ll": "will", "'d": "would", "'s": "be",
    "im": "be", "ive": "have",
}  # fmt: skip
_AUXILIARIES = {
    "am": "be", "is": "be", "are": "be", "was": "was", "were": "was", "been": "been", "being": "",
    "have": "have", "has": "have", "had": "had", "do": "do", "does": "do", "did": "did",
    "will": "will", "would": "would", "can": "can", "could": "would", "may": "would",
    "might": "would", "must": "would", "should": "would", "shall": "would", "wo": "will",
    "ca": "can", "cannot": "can", "ai": "be", "gotta": "would",
}  # fmt: skip
_ENDED = re.compile(r",?\s*\b(?:any ?more|any longer)\b", re.IGNORECASE)
_RELATIVE = re.compile(
    r"(?:my|our)\s+(?:(?:older|younger|little|big|best|oldest|youngest|eldest|elder|twin|late|former"
    r"|new|old|dear|close|good|first|second|two|three|four|\d|adopted|foster|pet|whole)\s+){0,2}"
    rf"(?P<kin>{'|'.join(sorted(KIN, key=len, reverse=True))})\b(?!-)"
    r"(?:,?\s+(?P<name>(?-i:[A-Z][a-zà-ÿ]+))(?!'s)\b,?)?"
    r"(?P<is>'s(?=\s+(?:an?|not|named|called|\w+ing|in|at|from|allergic)\b))?(?!['\w-])",
    re.IGNORECASE,
)
_UNMARKED = {
    "dont": "do",
    "didnt": "did",
    "cant": "can",
    "wont": "will",
    "havent": "have",
    "doesnt": "do",
    "isnt": "be",
    "arent": "be",
    "wasnt": "was",
    "hasnt": "have",
}
_TAKE_LEMMA = {"do", "did", "will", "would", "can"}
_PRESENT = Form.LEMMA | Form.THIRD
_TO_VERB = re.compile(r"\s+to\s+(\w+)")
_GOING_TO = re.compile(r"(?:going\s+to|gonna)\s+(?:\w+ly\s+|just\s+|also\s+)?(\w+)", re.IGNORECASE)
_POSSESSED = re.compile(
    r"\s*(?:an?|some|one|two|three|four|five|six|\d+|my|the|no|lots|many|several)\b", re.IGNORECASE
)
_PAST_HINT = re.compile(r"\b(?:yesterday|last|ago|in \d{4}|just)\b", re.IGNORECASE)
_AND_I = re.compile(r"\s+and\s+i\b(?!')", re.IGNORECASE)
_PLURAL_KIN = frozenset(("parents", "children", "kids", "siblings", "in-laws", "grandparents"))


def read_verb(core: str) -> VerbGroup | None:
    """Returns the verb group of a clause that begins with its subject; None if no verb is known."""
    text = without_ended(core)
    subject, at, auxiliaries = _subject(text)
    if subject is None:
        return None
    before = _before_verb(text, at, auxiliaries)
    decided = _decide(text, before)
    if decided is None:
        return None
    rest = decided.rest + len(text[decided.rest :]) - len(text[decided.rest :].lstrip())
    return VerbGroup(
        subject=subject,
        tense=decided.tense,
        verb=decided.verb,
        form=decided.form,
        rest=text[rest:].rstrip(" ,-"),
        rest_start=rest,
        never=before.never,
        negated=before.negated,
        ended=before.ended or text != core,
        adverbs=tuple(before.adverbs),
    )


def without_ended(text: str) -> str:
    """Returns `text` with "any more" blanked out; the same length."""
    return _ENDED.sub(lambda m: " " * len(m[0]), text)


def _subject(text: str) -> tuple[Subject | None, int, list[str]]:
    """The subject, its end, and the auxiliary contracted into it."""
    first = _TOKEN.match(text)
    if first is None or first[0].endswith(","):
        return None, 0, []
    word = first[0].lower()
    if word in {"my", "our"}:
        return _relative(text)
    if word in _CONTRACTED:
        return Subject(first[0]), first.end(), [_CONTRACTED[word]]
    head, mark, tail = word.partition("'")
    if head not in {"i", "we"}:
        return _elided(text)
    if mark and mark + tail not in _CONTRACTED:
        return None, 0, []
    contracted = [_CONTRACTED[mark + tail]] if mark else []
    return Subject(first[0], plural=head == "we"), first.end(), contracted


def _elided(text: str) -> tuple[Subject | None, int, list[str]]:
    """`Just started yoga`, `Been reading`, `Planning to …`: the omitted speaker."""
    for token in _TOKEN.finditer(text):
        word = token[0].rstrip(",").lower()
        if word in FREQUENCY or word in FILLER:
            continue
        ongoing = word == "gonna" or bool(inflection(word)[1] & Form.ING)
        return Subject("I"), 0, ["be"] if ongoing else []
    return None, 0, []


def _relative(text: str) -> tuple[Subject | None, int, list[str]]:
    found = _RELATIVE.match(text)
    name = found["name"] if found else None
    if not found or (name and (name.lower() in FORMS or name.lower() in _AUXILIARIES)):
        return None, 0, []
    if not name and text[found.end() :].startswith(","):
        return None, 0, []  # one of a list: "my family, exercise and friends"
    relation = found["kin"].lower()
    company = _AND_I.match(text, found.end())
    if company:
        return Subject("we", plural=True, company=found[0]), company.end(), []
    plural = relation in _PLURAL_KIN or (relation.endswith("s") and relation[:-1] in KIN)
    words = found[0].removesuffix("'s").rstrip(",").split(maxsplit=1)[1]
    return Subject(words, relation, name, plural), found.end(), ["be"] if found["is"] else []


@dataclass
class _Before:
    """The words between subject and verb; `at` is where the verb begins."""

    auxiliaries: list[str]
    at: int
    adverbs: list[str] = field(default_factory=list)
    never: bool = False
    negated: bool = False
    ended: bool = False

    @property
    def last(self) -> str:
        return self.auxiliaries[-1] if self.auxiliaries else ""

    def take(self, word: str, following: str) -> bool:
        """Takes an auxiliary, a negation or an adverb; returns False at anything else."""
        negative = word.removesuffix("n't")
        if word == "never":
            self.never = True
        elif word == "no" and following == "longer":
            self.ended = True
        elif word in _UNMARKED or (negative != word and negative in _AUXILIARIES):
            self.auxiliaries.append(_UNMARKED.get(word) or _AUXILIARIES[negative])
            self.negated = True
        elif word in {"not", "longer"}:
            self.negated = self.negated or word == "not"
        elif word in FREQUENCY:
            self.adverbs.append(word)
        elif word in _AUXILIARIES and not (word in {"do", "have"} and self.last in _TAKE_LEMMA):
            self.auxiliaries.append(_AUXILIARIES[word])
        else:
            return word in FILLER
        return True


def _before_verb(text: str, at: int, auxiliaries: list[str]) -> _Before:
    before = _Before(auxiliaries, at)
    tokens = [(m[0].rstrip(",").lower(), m) for m in _TOKEN.finditer(text, at)]
    for n, (word, token) in enumerate(tokens):
        before.at = token.start()
        following = tokens[n + 1][0] if n + 1 < len(tokens) else ""
        if not before.take(word, following):
            return before
    before.at = len(text)
    return before


@dataclass(frozen=True, slots=True)
class _Decided:
    tense: Tense
    verb: str
    form: str
    rest: int


def _decide(text: str, before: _Before) -> _Decided | None:
    token = _TOKEN.match(text, before.at)
    word = token[0].rstrip(",").lower() if token else ""
    after = token.end() if token else before.at
    lemma, forms = inflection(word)
    match before.last:
        case "":
            return _simple(text, before, word, after)
        case "do" | "did" as helper:
            tense = Tense.PAST if helper == "did" else Tense.PRESENT
            return _Decided(tense, lemma, word, after) if Form.LEMMA in forms else None
        case "have" | "had" as helper:
            return _having(text, before, word, after, helper)
        case "be" | "was" | "been" as helper:
            return _being(text, before, word, after, helper)
        case helper if Form.LEMMA in forms:
            tense = Tense.FUTURE if helper == "will" else Tense.MODAL
            return _Decided(tense, lemma, helper if tense is Tense.MODAL else word, after)
    return None


def _simple(text: str, before: _Before, word: str, after: int) -> _Decided | None:
    lemma, forms = inflection(word)
    if word == "used":
        habit = _TO_VERB.match(text, after)
        known = FORMS.get(habit[1].lower()) if habit else None
        if habit and known:
            return _Decided(Tense.USED_TO, known[0], habit[1], habit.end())
    if word == "wanna":
        return _Decided(Tense.PRESENT, "want", "want", before.at + len("wan"))
    if Form.PAST in forms and (Form.LEMMA not in forms or _told_as_past(text, before, lemma)):
        return _Decided(Tense.PAST, lemma, word, after)
    return _Decided(Tense.PRESENT, lemma, word, after) if forms & _PRESENT else None


def _told_as_past(text: str, before: _Before, lemma: str) -> bool:
    """Whether a form that is both present and past ("I read", "I put") is past here."""
    return lemma != "read" or bool(before.adverbs) or bool(_PAST_HINT.search(text))


def _having(text: str, before: _Before, word: str, after: int, helper: str) -> _Decided:
    lemma, forms = inflection(word)
    if word == "got" and _POSSESSED.match(text, after):
        return _Decided(Tense.PRESENT, "have", "have", after)
    if Form.PARTICIPLE in forms and not _POSSESSED.match(text, before.at):
        return _Decided(Tense.PERFECT if helper == "have" else Tense.PAST, lemma, word, after)
    return _Decided(Tense.PRESENT if helper == "have" else Tense.PAST, "have", helper, before.at)


def _being(text: str, before: _Before, word: str, after: int, helper: str) -> _Decided | None:
    lemma, forms = inflection(word)
    uncertain = {"will", "would", "can"} & set(before.auxiliaries)
    going = _GOING_TO.match(text, before.at)
    known = inflection(going[1].lower()) if going and helper == "be" else ("", Form(0))
    if going and Form.LEMMA in known[1]:
        if uncertain:
            return None
        return _Decided(Tense.INTENDED, known[0], going[1], going.end())
    if Form.ING in forms and not uncertain:
        tense = {"be": Tense.ONGOING, "was": Tense.PAST_ONGOING}.get(helper, Tense.PERFECT_ONGOING)
        return _Decided(tense, lemma, word, after)
    if Form.ING in forms and before.auxiliaries[0] == "will":
        return _Decided(Tense.FUTURE, lemma, lemma, after)
    if uncertain:
        return None
    tense = {"be": Tense.PRESENT, "was": Tense.PAST}.get(helper, Tense.PERFECT)
    return _Decided(tense, "be", helper, before.at)


# Telling ------------------------------------------------------------------------------------------


def told(group: VerbGroup, rest: str, actor: str | None) -> str:
    """Returns the clause in the third person: "Caroline has moved", or without an actor "Has …"."""
    company = f"with {group.subject.company}" if group.subject.company else ""
    words = (
        _label(group.subject, actor),
        _verb_phrase(group),
        in_third_person(f"{rest} {company}"),
    )
    return capitalised(" ".join(" ".join(words).split()).replace(" ,", ","))


def in_third_person(text: str) -> str:
    """Returns `text` with the speaker's pronouns turned to "they"."""
    # A dotless "\u0131" matches "i" too, and is no pronoun.
    return _FIRST_PERSON.sub(lambda m: _THEIR.get(m[0].lower(), m[0]), text)


def capitalised(text: str) -> str:
    """Returns `text` with a capital in front, the rest unchanged."""
    return text[:1].upper() + text[1:]


def _label(subject: Subject, actor: str | None) -> str:
    if subject.relation is None:
        return actor or ""
    return f"{actor}'s {subject.text}" if actor else subject.text


def _verb_phrase(group: VerbGroup) -> str:
    plural = group.subject.relation is not None and group.subject.plural
    be, was, have, do = _PLURAL if plural else _SINGULAR
    verb, form = group.verb, group.form
    no = "never" if group.never else "no longer" if group.ended else "not" if group.negated else ""
    adverbs = " ".join(group.adverbs)
    verb, form = group.verb, group.form
    phrases: dict[Tense, tuple[str, ...]] = {
        Tense.PRESENT: (no, adverbs, verb if plural else third_person(verb)),
        Tense.PAST: (no, adverbs, form),
        Tense.PERFECT: (have, no, adverbs, "been" if verb == "be" else form),
        Tense.PERFECT_ONGOING: (have, no, adverbs, "been", form),
        Tense.ONGOING: (be, no, adverbs, form),
        Tense.PAST_ONGOING: (was, no, adverbs, form),
        Tense.FUTURE: ("will", no, adverbs, verb),
        Tense.INTENDED: (be, no, adverbs, "going to", verb),
        Tense.USED_TO: (no, "used to", verb),
        Tense.MODAL: ("cannot" if form == "can" and no else form, adverbs, verb),
    }
    if verb == "be" and group.tense in {Tense.PRESENT, Tense.PAST}:
        words: tuple[str, ...] = (be if group.tense is Tense.PRESENT else was, no, adverbs)
    elif no == "not" and group.tense in {Tense.PRESENT, Tense.PAST}:
        words = (do if group.tense is Tense.PRESENT else "did", no, adverbs, verb)
    else:
        words = phrases[group.tense]
    return " ".join(w for w in words if w)


_SINGULAR = ("is", "was", "has", "does")
_PLURAL = ("are", "were", "have", "do")
_THEIR = {
    "i": "they", "i'm": "they're", "i am": "they are", "i was": "they were", "i've": "they've",
    "i'd": "they'd", "i'll": "they'll", "my": "their", "mine": "theirs", "me": "them",
    "myself": "themselves", "we": "they", "we're": "they're", "we've": "they've", "we'd": "they'd",
    "we'll": "they'll", "our": "their", "ours": "theirs", "us": "them", "ourselves": "themselves",
}  # fmt: skip
_FIRST_PERSON = re.compile(
    r"(?<![\w'.-])(?:i am|i was|i(?=\s+\w)|we|(?:i|we)'(?:m|ve|d|ll|re)|my|mine|me|myself|ours?"
    r"|ourselves|(?-i:us))(?![\w'-])",
    re.IGNORECASE,
)
