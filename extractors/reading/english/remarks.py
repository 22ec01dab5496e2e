"""Keeps as said what is a person's own and lasting, but fits no relation: remarks.

A remark is the smallest stretch of a sentence that carries its own subject, negation, modality and
condition. It has no attribute that others share: only its own repetition meets it. In doubt whether
it is asserted, lasting or understood by itself, there is none.
"""

import re
from collections.abc import Iterable, Iterator

from extractors.reading.english.claims import YES, Aspect, Claim, Found
from extractors.reading.english.lexicon import ARTICLES, KIN, any_of, words
from extractors.reading.english.own_words import NOT_THEIRS, Sentence
from extractors.reading.english.verbs import USES, Form, Use, inflection
from memory.models import MemoryKind

REMARK = "remark"
"""The attribute of remarks begins with it."""

_MOST_WORDS = 45
_LEAST_CONTENT = 3
_LEAST_LETTERS = 3
_LEAST_NEW = 2  # words; one of a list
_WORD = re.compile(r"[^\W_][\w'\u2019-]*")
_EMPTY = words(
    """
    the and for are was were has have had been being with that this these those from into onto
    about also just really very too but not yet now then than there here they them their our
    ours your yours you his her hers she him its who what when where why how which will would
    can could should may might must does did don't doesn't didn't isn't wasn't i'm i've i'd i'll
    my me mine myself we're we've it's that's some any all both each every much many more most
    lot lots bit little actually finally anyway anyways btw tbh lol haha well okay yeah yes nope
    hey hello thanks thank please sorry got get gets getting going goes went one ones thing
    things stuff kind sort way still even only again always never once out off over down back
    need help want took take taken makes make made
    """
)


def remarks(
    sentence: Sentence, written: str, told: Iterable[Found], actor: str | None
) -> Iterator[Found]:
    """Yields what `told` leaves uncovered of a sentence that is worth keeping as said.

    `written` is the sentence with its quotations; spans are offsets into the sentence, as in `told`.
    """
    covered = {word for found in told for word in _content(found.claim.text)}
    for start, end in _parts(sentence):
        text = sentence.text[start:end]
        content = _content(text)
        listed = "," in text or " and " in text
        least = _LEAST_NEW if told and not listed else 1
        telling = len(content) >= _LEAST_CONTENT or (content and _FIGURE.search(text))
        if (
            telling
            and len(set(content) - covered) >= min(least, len(content))
            and _worth_keeping(text)
        ):
            yield Found(_remark(" ".join(written[start:end].split()), actor), start, end)


def of_the_moment(text: str) -> bool:
    """Returns whether a sentence says itself that it is about this moment or this task."""
    return bool(_MOMENT.search(text))


def _remark(said: str, actor: str | None) -> Claim:
    past = bool(_TOLD.search(said))
    aspect = Aspect.EVENT if past else Aspect.PLAN if _AHEAD.search(said) else Aspect.STATE
    return Claim(
        remark_attribute(said),
        YES,
        f"{actor}: {said}" if actor else said[:1].upper() + said[1:],
        kind=MemoryKind.PREFERENCE if _TASTE.search(said) else MemoryKind.FACT,
        aspect=aspect,
        single_valued=False,
        confidence=0.7,
        importance=0.5,
        times=said,
    )


def remark_attribute(said: str) -> str:
    """Returns the attribute of a remark: its words, so that only its own repetition meets it."""
    found = (
        word[0].lower().replace("'", "") for word in _WORD.finditer(said.replace("\u2019", "'"))
    )
    return f"{REMARK}.{'_'.join(w for w in found if w not in ARTICLES)[:_LONGEST_NAME].strip('_-')}"


_LONGEST_NAME = 80


def _content(text: str) -> list[str]:
    found = (word[0].lower().replace("\u2019", "'") for word in _WORD.finditer(text))
    return [
        w
        for w in found
        if w not in _EMPTY and (len(w) >= _LEAST_LETTERS or any(c.isdigit() for c in w))
    ]


def _rule(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


# Parts of a sentence ------------------------------------------------------------------------------

_CUT = _rule(  # where a request or a question begins
    r"(?:[,;(\u2013\u2014-]|\s-)?\s*\b(?:(?:and|so|but|then|now|also|anyway|hence|therefore),?\s)*"
    r"(?:(?:please|pls|plz|kindly)\b|(?:can|could|would|will|can't|won't)\s(?:you|u|we|i)\b|(?:help|tell|show|give|let|remind|send)"
    r"\s(?:me|us)\b|let'?s\b|what(?:'s|\sis|\sare|\sshould|\sdo|\scan|\sabout|\swould)\b|how\s(?:do|can|should|about|much|many|long|to|would)\b"
    r"|(?:any|some)\s(?:ideas?|tips|advice|suggestions|thoughts|recommendations)\b|(?:does|is|do|should|are)\s(?:that|it|this|i|there|we)\b"
    r"|who\s(?:knows|cares)\b|right\?|you\sknow\b|(?:so\s)?no\s(?=\w+\s(?:tonight|today|please))|thanks\b|thank\syou\b|thx\b|ok\?)"
)
_LEADING = _rule(
    r"\s*(?:(?:"
    + any_of(
        "so well btw by_the_way also oh ok okay hey hi hello yeah yes yep nope fyi anyway anyways and but"
        " ah um lol haha just_so_you_know for_your_information for_context for_the_record remember_that note_that"
        " remember_this remember note i_should_mention_that i_should_mention i_must_say i_have_to_say i_should_say i_should_add_that i_have_to_admit i_admit let_me_add keep_in_mind_that keep_in_mind besides thanks sure hm hmm ps quick_note fun_fact heads_up guess_what"
    )
    + r")\b[,:.!]*\s+)+"
)
_CLAUSES = _rule(
    r"\s*;\s+|\s+(?:\u2013|\u2014|--?)\s+|,?\s(?:but|so)\s(?=(?:i|we|my|our|i'm|i've|im)\b)"
)


def _parts(sentence: Sentence) -> Iterator[tuple[int, int]]:
    text = sentence.text
    if sentence.asks or NOT_THEIRS * _MANY in text:
        return
    cut = _CUT.search(text)
    end = cut.start() if cut else len(text)
    start = 0
    for found in (*_CLAUSES.finditer(text, 0, end), None):
        stop = found.start() if found else end
        opened = _LEADING.match(text, start, stop)
        at = opened.end() if opened else start
        at += len(text[at:stop]) - len(text[at:stop].lstrip())
        stop = at + len(text[at:stop].rstrip(" ,.!;:-)"))
        if at < stop and len(text[at:stop].split()) <= _MOST_WORDS:
            yield at, stop
        start = found.end() if found else end


_MANY = 40  # characters of a quotation: the sentence is about it

# Worth ----------------------------------------------------------------------------------------------

_UNREAL = _rule(
    r"\b"
    + any_of(
        "if unless whether imagine suppose supposing supposed pretend wish wishes wished assuming maybe perhaps"
        " might may_be could should would wouldn't couldn't i'd we'd i'll_see let's what_if hypothetically possibly probably guess"
        " i_think i_thought thinking_of thinking_about thought_about considering considered wondering wonder"
        " not_sure unsure no_idea don't_know dunno doubt almost nearly was_going_to were_going_to hope hoping"
        " hopefully as_though as_if apparently allegedly kidding joking obviously ever_since_forever sarcasm"
        " dream dreamed dreamt believe_me who_knows tempted someday some_day one_day rumour rumor they_say"
        " people_say it_seems seems seemed sounds sound_like feels_like it's_not_true not_true"
    )
    + r"\b|\blike\s(?:a|an)\s\w+\s(?:does|would)\b|(?<!\S)/s\b|[\U0001f644\U0001f602\U0001f643]"
)
_MOMENT = _rule(
    r"\b(?:"
    + any_of(
        "brb right_now at_the_moment for_now in_a_meeting on_the_phone wait hold_on one_sec moment already_said"
        " trying_to tried_to working_on looking_for looking_to looking_at searching_for stuck confused struggling having_trouble"
        " getting_an_error the_error this_error this_bug error_message doesn't_work not_working isn't_working"
        " running_late be_late live_in_fear live_in_hope live_in_the_past so_far"
    )
    + r")\b|\b(?:i|we)(?:\s(?:just|really|also|still|only))*\s(?:need|want|have|get|see|mean|understand|know|agree|asked|said|meant|told"
    r"|guess|suppose|appreciate|love|like|hate|got|don't\s(?:get|understand|see|have|know|mean))\s(?:to\s(?:know|fix|get|make|see|write|find|ask|say|be"
    r"|understand|do|check|add|change|finish|send|tell|talk|go)|it|this|that|them|these|those|you|the\s(?:same|joke|point|first|second|last|one|feeling|idea|impression)"
    r"|another\s(?:question|one|idea)|(?:a|an|one|some|no|two|the|another|few|more)\s(?:\w+\s){0,2}(?:question|idea|clue|doubt|problem|issue|feeling|bug|error"
    r"|version|example|answer|summary|list|table|draft|minute|second|favor|favour|request|task|sense|point|ideas|questions|exam?ples))\b"
    r"|\b(?:i'm|i\sam|im|we're|we\sare)\s(?:(?:so|really|very|a\s(?:bit|little)|just|still|too|all|kinda|pretty|quite|not|feeling|super|also|ein\sbisschen)\s)*"
    + any_of(
        "tired hungry thirsty sleepy bored sad happy glad excited angry mad upset annoyed confused lost stuck sorry sure ready done good"
        " great fine ok okay well here late early busy curious impressed surprised shocked amazed thrilled grateful thankful nervous worried"
        " anxious stressed exhausted overwhelmed frustrated disappointed proud jealous jokin kidding joking afraid_i afraid_so müde free_to"
        " feeling looking trying wondering thinking asking talking going_to_ask writing_this opening reading_this"
    )
    + r"\b(?!\s(?:of|at|from\s\w+\sto|with\s(?:a|my)))"
    r"|\b(?:this|the)\s(?:\w+\s)?(?:report|table|chart|file|code|function|script|draft|document|spreadsheet|slide|query|build|output"
    r"|paragraph|essay|error|bug|button|formula|column|snippet|stack\strace|printer)s?\b"
    r"|\b(?:i|we)\s(?:\w+ly\s|really\s|still\s)?(?:agree|feel|felt|bet|believe|promise|wonder)\b|\b(?:feels?|felt|feeling)\s(?:so|really|very|like|blessed|great|good|amazing)\b"
    r"|\bback(?=\Z|\s*[,.!])|\b(?:good\s(?:morning|night|evening|afternoon|luck|idea|point|job|question)|doing\s(?:well|great|good|fine)|how\sare|nice\s(?:to|talking|work|one)"
    r"|no\s(?:problem|worries|thanks)|never\smind|forget\s(?:it|that|about)|that'?s\s(?:great|good|right|what|it|all|nice|cool|awesome|perfect|not|wrong|why|how)"
    r"|(?:see|talk\sto)\syou|you\sknow|makes?\ssense|can't\s(?:wait|remember|believe|complain))\b"
)
_TO_YOU = _rule(r"\b(?:you|your|yours|u|ur|you're|you've|y'all|yourself)\b")
_REACHED = _rule(
    r"\byou\scan\s(?:reach|call|e?mail|find|text|write|contact)\b|\bremind\sme\b|\bas\syou\sknow\b|\byou\sshould\sknow\b"
)
_FIRST = _rule(
    r"(?<![\w'])(?:i|i'm|i've|im|ive|my|mine|me|myself|we|we're|we've|our|ours|us|i'd)(?![\w])"
)
_RELATIVES = _rule(
    r"\b(?:"
    + "|".join(sorted((re.escape(k) for k in KIN), key=len, reverse=True))
    + r"|gf|bf|hubby|wifey|mil|fil|bro|sis|doc|gp|landlord|landlady|kiddo|mum's|dad's|toddler|twins|fianc[eé]e?|ex|nan|nana|gran|hairdresser|dentist|lawyer)\b"
)
_FIGURE = _rule(r"\d|(?-i:(?<=\w\s)[A-ZÀ-Þ]\w+)")
_NOMINAL = _rule(
    r"(?:the|this|that|his|her|their|no|all|both|every|each|(?-i:[A-ZÀ-Þ]))[\w'-]*(?:\s[\w'&-]+){0,6}?\s"
    r"(?:is|are|was|were|has|have|had|came|comes|lives|works|likes|loves|hates|got|gets|took|takes|starts|started|ends|ended|died|left|moved|closed"
    r"|opens|opened|runs|ran|goes|went|says|lost|won|needs|costs|weighs|arrives|arrived|broke|called|sold|bought|became|turned|named|\w+ed)\b"
)
_STARTS = _rule(
    r"(?:just|recently|finally|been|not|still|already|currently|always|never|also|only|born|allergic|married|divorced|single|vegan|vegetarian|raised|based|retired|working|living|from)\b"
)
_IMPERATIVE = _rule(
    r"(?:(?:always|never|don't|do\snot|dont|stop|no|just|only)\s)?(?P<verb>[a-z]+)\b"
)
_NO_IMPERATIVE = frozenset(
    ("got", "put", "set", "cut", "hit", "hurt", "quit", "read", "let", "cost", "beat")
)
_REQUESTS = words(
    """
    write draft translate summarize summarise explain list give show tell help make find suggest
    recommend check fix correct create generate compare describe remind add remove delete change
    convert calculate compute use call book send answer reply respond keep let look see take
    note remember forget ignore act pretend imagine stop wait continue go try turn rewrite
    rephrase shorten think consider read open close search define name choose pick plan schedule
    order play sing ask be do say speak talk start finish format output print return include
    avoid set put move rate grade label classify spell edit review proofread polish
    """
)
_TOLD = _rule(
    r"\b(?:was|were|had|did|didn't|ago|yesterday|last|went|got|bought|sold|left|took|came|became|started|\w+ed)\b"
)
_AHEAD = _rule(
    r"\b(?:will|going\sto|gonna|tomorrow|next|booked|scheduled|due|planned|starts|upcoming|until|till|i'll|we'll|moving\sto|flying)\b"
)
_TASTE = _rule(
    r"\b(?:like|love|prefer|favou?rite|hate|enjoy|dislike|fan of|into|can't stand|adore|rather|go-to)\w*\b"
)


_REPORTED = _rule(
    r"\b(?!(?:i|we)\b)[\w'-]+\s(?:(?:just|also|always|keeps|kept|only|once|\w+ly)\s)?"
    r"(?:said|says|say|saying|claims?|claimed|thinks?|thought|believes?|reckons?|insists?|insisted|told|tells|wrote|texted|swears)\b"
    r"(?!\s(?:yes|no)\b)"
)


_POINTS_ELSEWHERE = _rule(
    r"(?:(?:and|but|so|because|since|also|well|plus|when|which|who|to)\s)*(?:it|it's|its|they|they're|they've|them|he|he's|she|she's|that|that's|this|these|those|there|there's|here"
    r"|here's|which|seeing|talking|connecting|having|being|knowing|what|how|same|me\stoo|one\sof\s(?:them|those|these))\b"
    r"|.*\b(?:like\s(?:that|this|it)|(?:this|that)\s(?:one|pic|picture|photo|shot|guy|kind|sort|type|way)|(?:do|did|done|doing|tried|try|love|loved|enjoy|enjoyed|made|make|use|used|got|get)\s(?:it|that|this|them|so))\b"
    r"|.*\b(?:it|that|this|them|those|these|there|here)\Z"
)


def _worth_keeping(text: str) -> bool:
    if _POINTS_ELSEWHERE.match(text):
        return False
    if _REPORTED.search(text):
        return False
    if _UNREAL.search(text) or _MOMENT.search(text):
        return False
    if _TO_YOU.search(text) and not _REACHED.search(text):
        return False
    return not _asks_for(text) and _about_them(text)


def _asks_for(text: str) -> bool:
    """Whether it begins as an imperative does."""
    found = _IMPERATIVE.match(text)
    verb = found["verb"].lower() if found else ""
    return verb in _REQUESTS and verb not in _NO_IMPERATIVE and not _FIRST.match(text)


def _about_them(text: str) -> bool:
    """Whether it is about the person: their own, their people, or what has no subject but "I"."""
    if _FIRST.search(text) or _RELATIVES.search(text) or _STARTS.match(text):
        return True
    first = text.split(maxsplit=1)[0].lower().rstrip(",")
    lemma, forms = inflection(first)
    if Form.PAST in forms and Form.LEMMA not in forms and USES.get(lemma, Use(0)) & Use.EVENT:
        return True
    return bool(_NOMINAL.match(text) and _FIGURE.search(text) and first not in _NO_SUBJECT)


_NO_SUBJECT = frozenset(
    ("that", "this", "there", "it", "what", "how", "who", "when", "where", "why", "which")
)
