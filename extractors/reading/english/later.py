"""Compares later words with what is held: what they end, what they correct, what is to be forgotten.

An ending is often a sentence that is no memory itself ("Sold the kayak", "my doctor took me off
it"). So every own sentence with a cue is compared with what is held, by shared heads and a small
table of opposites. This module holds the one rule for which evidence may end which belief:

- a sentence that is sure ("sold", "broke up", "no longer") ends what shares a head with it;
- one that only sounds like a change ends nothing;
- what several messages support is ended by a sure sentence about the person alone;
- what happened once has no end.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from extractors.reading.english.lexicon import KIN, any_of, words
from extractors.reading.english.remarks import REMARK, remark_attribute
from extractors.reading.english.wording import normal, slug
from memory.models import KIND_TRAITS, MemoryKind


@dataclass(frozen=True, slots=True)
class Known:
    """What is held, as far as later words are compared with it.

    session, said_at: where and when it was said last. Of the same memory have `attribute`, `subject`
    and `context`; `value` is the one that holds since `valid_from`.
    """

    attribute: str
    value: str | None
    text: str
    session: str | None
    said_at: datetime
    support: int = 1
    kind: MemoryKind = MemoryKind.FACT
    subject: str | None = None
    context: str | None = None
    single_valued: bool = False
    valid_from: datetime | None = None


@dataclass(frozen=True, slots=True)
class Corrected:
    """A memory whose value was wrong, and its text and value set right; None if nothing replaces it."""

    wrong: Known
    attribute: str | None = None
    value: str | None = None
    text: str | None = None


def _rule(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


# Heads --------------------------------------------------------------------------------------------

_WORD = re.compile(r"[^\W_][\w'\u2019-]*")
_NO_HEAD = words(
    """
    the and for are was were has have had been being with that this these those from into onto about also just really
    very too but not yet now then than there here they them their our ours your yours you his hers she him its who what when
    where why how which will would can could should may might must does did don't doesn't didn't isn't wasn't any all both each
    every much many more most lot lots bit little actually finally anyway still even only again always never once out off over
    down back get gets got getting one ones thing things stuff kind sort way year years month months week weeks day days
    morning evening night time times today yesterday tomorrow last next ago since until monday tuesday wednesday thursday
    friday saturday sunday january february march april may june july august september october november december
    live work use have like love hate prefer take make play own want need say know think feel feels feeling start began begin
    stop stopped quit quits gave give left leave leaves sold sell ended end moved move went gone switch switched lost lose cancelled
    canceled dropped longer anymore because after before while though too well new old good great big small same first second
    two three four five six seven eight nine ten yes no is called favourite favorite name user called people person someone
    everything anything something nothing doctor wait sorry mean meant correction
    """
)
_TOPICS = (
    "address live lives home house flat apartment street city",
    "medication medications meds medicine medicines pills prescription mg takes tablets take",
    "job work works employer employed boss company career occupation job_title works_at profession office",
    "health diagnosis illness condition disease allergic allergy asthma diabetes depression",
    "partner wife husband girlfriend boyfriend relationship married dating engaged spouse fiance marriage divorce divorced",
    "birthday birth_date born age",
    "phone number telephone mobile",
    "salary income earn earns pay wage wages money debt",
    "diet eat eats vegan vegetarian food",
    "religion faith church mosque temple catholic muslim jewish hindu",
    "kids children son daughter kid child",
    "pet pets dog cat",
)


def _stem(word: str) -> str:
    word = word.replace("\u2019", "'").split("'")[0]
    for ending in ("ing", "ied", "ies", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= _LEAST_STEM:
            word = word[: -len(ending)]
            break
    word = word[:-1] if len(word) > _LEAST_STEM and word[-1] == word[-2] else word
    return word.rstrip("ey") if len(word) > _LEAST_STEM else word


_LEAST_STEM = 3


def heads(text: str) -> frozenset[str]:
    """Returns the words that say what a text is about, in one form each."""
    found = (m[0].lower() for m in _WORD.finditer(text.replace("_", " ").replace(".", " ")))
    return frozenset(_stem(w) for w in found if w not in _NO_HEAD and len(w) >= _LEAST_STEM)


def _heads_of(known: Known) -> frozenset[str]:
    return heads(f"{known.text} {known.value or ''}")


# Endings ------------------------------------------------------------------------------------------

_SURE = _rule(
    r"\b(?:"
    + any_of(
        "sold died passed_away broke_up broken_up split_up splitting_up gave_up given_up giving_up quit stopped cancelled canceled"
        " no_longer any_more anymore any_longer let_me_go let_us_go laid_off fired made_redundant got_rid_of get_rid_of gotten_rid_of"
        " moved_out moved_away dropped_out divorced retired expired uninstalled deleted ditched returned_it gave_away given_away"
        " threw_out threw_away thrown_out gone_vegan gone_vegetarian went_vegan went_vegetarian turned_vegan turned_vegetarian is_over"
        " was_over it's_over is_dead closed_down shut_down went_bankrupt closed_its_doors closed_for_good the_end_of used_to handed_in_my_notice"
        " resigned stepped_down donated traded_in scrapped totalled wrote_off was_stolen got_stolen put_down paid_off"
        " recovered healed cured in_remission outgrew outgrown grew_out_of grown_out_of weaned unsubscribed deactivated swore_off"
        " cut_out phased_out dumped left_me left_him left_her ended_things finished_with done_with through_with over_with"
        " haven't_touched never_again switched_from moved_from swapped traded replaced called_off fell_through is_off"
        " gave_my gave_our lapsed not_renewing didn't_renew hung_up stepped_away ended_my ended_our"
        " don't_touch went_through_in_court divorce_is_final divorce_went_through lost_my lost_our"
        " finished_my finished_our graduated went_off came_off taken_off weaned_off clean_since sober wound_up wrapped_up packed_in"
        " not_since switched_to converted_to gone_soft my_last_day last_day_at gave_notice rehomed put_to_sleep lease_is_up"
        " went_back_to gone_to went_under pulled_out_of moved_on_from free_of kicked_the_habit upgraded_from handed_over rest_in_peace we_lost i_lost"
        " has_a_new_owner didn't_work_out my_ex not_together came_to_an_end has_ended ended_in turned_in_my"
        " sold_it sold_my bailed_on backed_out stood_down lost_interest over_it cold_turkey"
        " withdrew unfollowed unfriended evicted dissolved disbanded discontinued shelved abandoned scrapped swapped_out"
    )
    + r")\b|\bex-|\bleft\s(?:(?:my|the|our)\s(?:\w+\s)?(?:job|company|firm|team|club|band|choir|church|party|school|group|union|board|course|class)|(?-i:[A-Z])\w+)\b|\b(?:took|take|taken|taking|came|come|got|get|going|went)\s(?:me|us|him|her)?\s?off\b"
    r"|\b(?:it'?s|that'?s)\s(?:gone|over|history|behind\s(?:me|us))\b|\b(?:is|are|was|were)\s(?:gone|over|finished|history|no\smore)\b"
)
_DENIED_CUE = _rule(
    r"\b(?:not|never|n't|haven't|hasn't|didn't|don't|won't|almost|nearly|about\sto|thinking\sof|thinking\sabout|considering|might|may|could"
    r"|would|should|if|unless|want\sto|wanted\sto|hope\sto|plan(?:ning)?\sto|trying\sto|can't)\s(?:\w+\s){0,2}\Z"
)
_NEGATIVE_CUE = _rule(
    r"(?:no_?\s?longer|any\s?more|any\slonger|don't\stouch|didn't\srenew|not\s\w+ing|haven't\stouched|never\sagain|not\ssince)\Z"
)
_UNREAL = _rule(
    r"\b"
    + any_of(
        "if unless whether imagine suppose wish maybe perhaps might would could should thinking_of considering almost nearly hope dreamt"
    )
    + r"\b"
)
_OPPOSITES = (
    (r"vegetarian|vegan|plant[- ]based|gave up meat", r"\b(?:meat|beef|pork|chicken|steak|bacon|fish|carnivore|burgers?)\b"),
    (r"eating meat again|eat meat again|back to (?:eating )?meat", r"\b(?:vegetarian|vegan)\b"),
    (r"divorc\w+|separated|widow\w*|split up|marriage is over", r"\b(?:married|husband|wife|relationship_status|engaged)\b"),
    (r"broke up|broken up|split up|dumped|my ex\b|single again|ended things|called off (?:the|our) (?:wedding|engagement)",
     r"\b(?:dating|girlfriend|boyfriend|engaged|fianc[eé]e?|partner|relationship_status|seeing)\b"),
    (r"got married|tied the knot|our wedding was", r"\b(?:is single|engaged|dating|relationship_status)\b"),
    (r"(?:baby|son|daughter|girl|boy|twins|he|she|they)\b.{0,30}\b(?:was|were|is|are) (?:born|here)|gave birth|miscarr\w+", r"\b(?:pregnant|expecting)\b"),
    (r"let me go|laid (?:me )?off|fired|made (?:me )?redundant|handed in my notice|quit my job|lost my job|resigned|retired|left my job"
     r"|unemployed|out of work", r"\b(?:works? (?:at|for|as)|works_at|job_title|employed|job)\b"),
    (r"quit drinking|stopped drinking|sober|gave up (?:alcohol|drinking|booze)|teetotal", r"\b(?:beer|wine|whisk(?:e)?y|alcohol|drinks)\b"),
    (r"got a job|found a job|start(?:ed)? (?:my|a) new job|hired", r"\b(?:unemployed|looking for (?:a )?(?:job|work)|job hunting|between jobs)\b"),
    (r"moved out", r"\b(?:lives_with|lives with|roommates?|flatmates?)\b"),
)  # fmt: skip
_OPPOSED = tuple((_rule(rf"\b(?:{said})"), _rule(held)) for said, held in _OPPOSITES)
_OTHER = _rule(
    r"\W*(?:(?:but|and|so|also|btw|oh)\s)?(?:my|our|his|her|their|the)\s(?:[\w-]+\s){0,2}?(?P<who>"
    + "|".join(sorted((re.escape(kin) for kin in KIN), key=len, reverse=True))
    + r"|gf|bf|hubby|bro|sis|landlord|landlady)(?:'s)?\b|\W*(?P<they>he|she|they)\b"
)
_ME = _rule(r"(?<![\w'])(?:i|i'm|i've|me|my|mine|we|we've|our|us)(?![\w])")
_EVENTS = (
    "did",
    "never",
    "born_in",
    "birthday",
    "birth_date",
    "instruction",
    "grew_up_in",
    "called",
)


def ended_by(sentence: str, held: Iterable[Known]) -> list[Known]:
    """Returns what is held that a sentence of the person's own ends, in the order of `held`."""
    cue = _sure_cue(sentence)
    opposed = [found for said, found in _OPPOSED if said.search(sentence)]
    cue = cue or _REVERSAL.search(sentence)
    taste = _TASTE_NOW.search(sentence)
    if (cue is None and taste is None and not opposed) or _UNREAL.search(sentence):
        return []
    about = heads(sentence)
    shared = [
        (known, len(about & _heads_of(known)), _opposed(known, opposed))
        for known in held
        if known.attribute.partition(".")[0] not in _EVENTS
        and _may_end(sentence, known)
        and (cue is not None or opposed or _is_taste(known))
    ]
    most = max((n for _, n, _ in shared), default=0)
    by_head = (cue is not None or taste is not None) and most > 0
    return [known for known, n, other in shared if other or (by_head and n == most)]


_REVERSAL = _rule(
    r"\b(?:back\s(?:to|on|into|at)|again|after\sall|changed\smy\smind|(?:come|came)\s(?:around\s)?to\s(?:\w+\s)?(?:enjoy|love|like|appreciate)"
    r"|grown?\s(?:to|on)|grew\s(?:to|on)|got\sover|warmed\s(?:up\s)?to|gotten\sover|no\slonger\s(?:hate|dislike|mind)|don't\s(?:hate|mind))\b"
)
_BORN = _rule(r"\b(?:my|our)\s.{0,40}\b(?:was|were|is|are)\s(?:finally\s)?born\b")
_TASTE_NOW = _rule(
    r"\b(?:prefer|like|love|favou?rites?|go-to|into|fan|rather)\b.*\b(?:now|these\sdays|nowadays|better|instead|anymore)\b"
    r"|\b(?:now|these\sdays|nowadays|lately|actually|current|new)\b.*\b(?:prefer|like|love|favou?rites?|go-to|rather)\b"
)
_TASTES = ("prefers", "favourite", "taste", REMARK)


def _opposed(known: Known, opposed: Sequence[re.Pattern[str]]) -> bool:
    told = f"{known.attribute} {known.text}"
    return any(pattern.search(told) for pattern in opposed) and known.value != "no"


def _is_taste(known: Known) -> bool:
    return KIND_TRAITS[known.kind].governs and known.attribute.partition(".")[0] in _TASTES


def _sure_cue(sentence: str) -> re.Match[str] | None:
    for cue in _SURE.finditer(sentence):
        before = sentence[max(0, cue.start() - 40) : cue.start()]
        if not _DENIED_CUE.search(before) or _NEGATIVE_CUE.search(cue[0]):
            return cue
    return None


def _may_end(sentence: str, known: Known) -> bool:
    """Whether a sentence speaks of whom the memory is about: of others only what is theirs."""
    denied = known.value in {"no", "dislikes"} or _is_ending(known.text)
    if denied and not _REVERSAL.search(sentence):
        return False
    if not denied and _REVERSAL.search(sentence) and not _sure_cue(sentence):
        return bool(_TASTE_NOW.search(sentence))
    if _BORN.search(sentence):
        return True
    other = _OTHER.match(sentence)
    if other is None:
        return True
    who = (other["who"] or "").lower()
    if who and who in known.text.lower():
        return True
    return known.support == 1 and bool(_ME.search(sentence, other.end()))


def _is_ending(text: str) -> bool:
    return _sure_cue(text) is not None


# What is to be forgotten --------------------------------------------------------------------------

_FORGET = _rule(
    r"\b(?P<verb>forget|erase|delete|remove|wipe|unremember|drop|scrub|purge)\b"
    r"(?=\s(?:(?:please|all|everything|anything|what(?:ever)?|that|about|where|who|how|the\s(?:fact|part|thing|bit)|my|it|i)\b))"
    r"(?!\s(?:it|that|about\s(?:it|that))\W*\Z)(?P<what>[^.!?;]*)"
)
_NOT_OF_MEMORY = _rule(
    r"\b(?:file|files|line|lines|row|rows|column|code|folder|branch|email|paragraph|sentence|word|comment|function|table|list)\b"
)
_OF_MEMORY = _rule(
    r"\b(?:know|knew|told|said|mentioned|remember|memory|memories|stored|saved|notes?|about|on\smy|where|who|fact|i\sam|i'm)\b"
)
_MUST_SAY_SO = frozenset(("delete", "remove", "drop", "erase", "wipe"))


def to_forget(sentence: str, held: Sequence[Known]) -> tuple[int, int, list[Known]] | None:
    """Returns what a sentence asks to forget, with the span of the verb that asks; None if it does not."""
    found = _FORGET.search(sentence)
    if found is None or _DENIED_CUE.search(sentence[max(0, found.start() - 30) : found.start()]):
        return None
    what = found["what"]
    if found["verb"].lower() in _MUST_SAY_SO and (
        not _OF_MEMORY.search(what) or _NOT_OF_MEMORY.search(what)
    ):
        return None
    if not _ME.search(what) and not _OF_MEMORY.search(what):
        return None
    about = heads(what) | _topics(what)
    matched = [
        k
        for k in held
        if about & (_heads_of(k) | _topics(f"{k.attribute.replace('.', ' ')} {k.text}"))
    ]
    return found.start("verb"), found.end("verb"), matched


_LAST_THING = _rule(
    r"\b(?P<verb>ignore|disregard|forget|delete|scratch|strike)\s(?:the|my|that)\s(?:last|previous|earlier)\s?(?:thing|one|message|bit|line|part|comment|statement|sentence)?s?\b"
)


def takes_back(content: str, held: Sequence[Known]) -> tuple[int, int, list[Known]] | None:
    """Returns what was said last, with the span of the words that take it back; None without them."""
    found = _LAST_THING.search(content)
    return (*found.span("verb"), _newest(held)) if found and held else None


def _topics(text: str) -> frozenset[str]:
    """The topics that words name, as marks that are no words."""
    named = {w.lower() for w in re.findall(r"[\w-]+", text.replace("\u2019", "'"))}
    return frozenset(f"<{n}>" for n, topic in enumerate(_TOPICS) if named & set(topic.split()))


# Corrections --------------------------------------------------------------------------------------

_SORRY = (
    r"(?:oh|oops|ah|argh|ugh|um|well|hm+|no|nope|actually|sorry|wait|hang on|hold on|correction|typo|my bad|scratch that|i meant(?: to say)?"
    r"|i mean|make that|my mistake|my error|i misspoke|misspoke|i got (?:that|it) wrong|got (?:that|it) wrong|misremembered|let me correct (?:that|myself)"
    r"|to correct myself|change (?:that|it) to|turns out|whoops|i should have said|should have said|autocorrect|auto-?correct|brain fart|slip of the \w+|or rather|to be exact|that'?s wrong|that was wrong|not true|wrong|pardon|apologies|edit|fix|\*)"
)
_CORRECTION = _rule(
    rf"\W{{0,3}}(?P<cue>{_SORRY}(?:[\s,.:;!\u2013\u2014-]{{1,4}}(?:{_SORRY}))*)[\s,.:;!\u2013\u2014-]{{1,4}}"
    r"(?:(?:it'?s|it is|its|that'?s|i'?m|i am|im|the (?:right|correct) one is|should be|it should be|it was|was|is)\s)?(?:actually\s)?"
    r"(?P<new>[^,;.!?()]{1,60}?)(?:,?\s(?:and\s)?not\s(?P<old>[^,;.!?]{1,40}))?(?=[,;.!?(]|\s(?:typo|sorry|lol|of course|had|haha|my bad|i mixed)\b|\Z)"
)
_AFTERWARDS = _rule(
    r"\W{0,3}(?:(?:it'?s|it is|its|that'?s|i'?m|he'?s|she'?s|they'?re)\s)?(?P<new>[\w:.'/ -]{1,40}?)[,\s]{1,2}(?:sorry|i mean|i meant|typo|\*|oops|actually|my bad|my mistake|rather)\b(?P<old>(?!))?"
)
_MEANT = _rule(
    r"(?:(?:it'?s|it is|its|that'?s)\s)(?P<new>[^,;.!?()]{1,40}?),?\s(?:and\s)?not\s(?P<old>[^,;.!?]{1,40})(?=[,;.!?]|\Z)"
)
_NOT_BUT = _rule(
    r"(?:.{0,40}?\b)?(?P<new>[^,;.!?()]{1,40}?),?\s(?:and\s)?(?:not|instead of|rather than)\s(?:the\s|an?\s|in\s|at\s|on\s)?(?P<old>[^,;.!?()]{1,40}?)\s*\Z"
)
_BUT = _rule(
    r".{0,30}?\bnot\s(?:the\s|an?\s|in\s|at\s|on\s)?(?P<old>[^,;.!?()]{1,40}?),?\s(?:but|it'?s|rather|i'?m)?\s?(?P<new>[^,;.!?()]{1,40}?)\s*\Z"
)
_WITHDRAWN = _rule(
    r"\W*(?:(?:no|oh|sorry|wait|actually|ok|okay)[\s,.]+)*(?:that(?:'s|\sis|\swas)\s(?:wrong|not\s(?:right|true|correct)|incorrect|a\slie|nonsense)|i\swas\swrong|i\slied"
    r"|i\smade\sthat\sup|i\snever\ssaid|(?:it'?s|it\sis)\snot\strue|scratch\sthat|ignore\sthat|strike\sthat|disregard\sthat|forget\sthat|i\smisspoke)\b"
)
_CUE_ANYWHERE = _rule(
    r"\b(?:sorry|correction|wrong|mistake|mistaken|typo|i\smeant|i\smean|mixed\s(?:it|them|that|up)|misspoke|wait|scratch\sthat|strike\sthat|in\sfact|actually|turns\sout|oops|whoops"
    r"|i\ssaid|misremembered|checked|double-?checked|looked\sit\sup|says\sit'?s|correct(?:ed)?\s(?:that|me|myself)|not\strue|should\sbe|nope|misread)\b"
)
_STRONG_CUE = _rule(
    r"\b(?:correction|wrong(?:ly)?|mistake|mistaken|mistyped|typo|i\smeant|mixed\s(?:it|them|that|up)|misspoke|scratch\sthat|strike\sthat|i\ssaid|turns\sout"
    r"|misremembered|checked|double-?checked|looked\sit\sup|says\sit'?s|correct(?:ed)?\s(?:that|me|myself)|not\strue|should\s(?:be|have\sbeen|say)|misread|confused)\b"
)
_WEAK = _rule(r"(?:no|well|actually|wait|oh|ah|um|hm+|sorry|nope|i mean|edit|fix)\Z")
_ARTICLE = _rule(r"\A(?:the|on|at|in|to|a|an|of)\s")
_ADDED_DAY = re.compile(r"\s\([^()]{0,60}\d{4}\)")
_NUMBER = re.compile(r"\d[\d.,:/ ]*(?:st|nd|rd|th)?\b")
_NUMBERS = any_of("one two three four five six seven eight nine ten eleven twelve")
_COUNT = _rule(rf"\b{_NUMBERS}\b")
_NAMELIKE = re.compile(r"[A-ZÀ-Þ][\w'-]*(?:\s[A-ZÀ-Þ][\w'-]*)*")
_LONGEST_NEW = 6  # words


def corrected(sentence: str, before: Sequence[Known]) -> Corrected | None:
    """Returns what a sentence corrects of `before`, the memories of what was said just before it."""
    patterns = (_CORRECTION, _MEANT, _AFTERWARDS, _NOT_BUT, _BUT)
    tried = (_one(found, sentence, before) for p in patterns if (found := p.match(sentence)))
    return next((fixed for fixed in tried if fixed), None)


def withdrawn(sentence: str, before: Sequence[Known], held: Sequence[Known]) -> list[Known]:
    """Returns what a sentence takes back: what it says anew, or the one thing said just before it."""
    if _UNREAL.search(sentence):
        return []
    near = [k for k in held if k.session is not None and _says_anew(sentence, k)]
    if near and _CUE_ANYWHERE.search(sentence):
        return _newest(near)
    far = [k for k in held if k.support == 1 and _says_anew(sentence, k)]
    if far and _STRONG_CUE.search(sentence):
        return _newest(far)
    return list(before) if _WITHDRAWN.match(sentence) and len(before) <= _FEW else []


def _says_anew(sentence: str, known: Known) -> bool:
    """Whether a sentence is about half of what a memory is about, with a value of its own."""
    about = _heads_of(known)
    valued = _NUMBER.search(sentence) or _COUNT.search(sentence) or _NAMELIKE.search(sentence[1:])
    anew = valued or _WITHDRAWN.match(sentence)
    return bool(anew and about) and _FEW * len(about & heads(sentence)) >= len(about)


def _newest(some: Sequence[Known]) -> list[Known]:
    last = max(k.said_at for k in some)
    return [k for k in some if k.said_at == last]


def alike(sentence: str, held: Sequence[Known]) -> list[Known]:
    """Returns the newest memories that share a head with a sentence that sounds like a correction."""
    shared = [k for k in held if k.support == 1 and heads(sentence) & _heads_of(k)]
    return _newest(shared) if shared and _STRONG_CUE.search(sentence) else []


_FEW = 2


def _one(found: re.Match[str], sentence: str, before: Sequence[Known]) -> Corrected | None:
    new, old = _ARTICLE.sub("", found["new"].strip()), (found["old"] or "").strip()
    if old and found.re in (_NOT_BUT, _BUT):  # "our group is A positive, not negative"
        new = " ".join(new.split()[-len(old.split()) :])
    if not new or len(new.split()) > _LONGEST_NEW or _UNREAL.search(sentence):
        return None
    weak = (
        "cue" in found.re.groupindex
        and bool(_WEAK.search(found["cue"]))
        and len(found["cue"].split()) == 1
    )
    for known in (replace(k, text=_ADDED_DAY.sub("", k.text)) for k in reversed(before)):
        place = _place(known.text, new, old)
        if place and (old or not weak or _of_a_kind(known.text[slice(*place)], new)):
            return _replaced(known, place, new)
    strong = "cue" in found.re.groupindex and not weak and not old
    last = _LAST_WORD.search(_ADDED_DAY.sub("", before[-1].text)) if strong and before else None
    if (
        last
        and len(new.split()) <= _FEW
        and not _NUMBER.match(new)
        and not heads(new) <= _heads_of(before[-1])
    ):
        return _replaced(
            replace(before[-1], text=_ADDED_DAY.sub("", before[-1].text)), last.span(), new
        )
    return None


_LAST_WORD = re.compile(r"[\w'-]+\Z")


def _place(text: str, new: str, old: str) -> tuple[int, int] | None:
    """Where in a memory's text the wrong value stands."""
    if old:
        at = text.lower().find(old.lower())
        return (at, at + len(old)) if at >= 0 else None
    for pattern in (_NUMBER, _COUNT):
        if pattern.match(new):
            found = list(pattern.finditer(text))
            return _whole_name(text, found[-1], new) if found else None
    close = [
        m for m in _WORD.finditer(text) if _close(m[0].lower(), new.split(maxsplit=1)[0].lower())
    ]
    if close:
        return _whole_name(text, close[-1], new)
    if _NAMELIKE.match(new):
        names = [m for m in _NAMELIKE.finditer(text) if m.start()]
        return names[-1].span() if names else None
    return None


def _whole_name(text: str, first: re.Match[str], new: str) -> tuple[int, int]:
    """The span of the first word, and of those after it that the new value has as well."""
    rest = new.lower().split()[1:]
    end = first.start() + len(first[0].rstrip(" .,:/"))
    for word in _WORD.finditer(text, end):
        if not rest or word[0].lower() != rest.pop(0):
            break
        end = word.end()
    return first.start(), end


def _of_a_kind(old: str, new: str) -> bool:
    return bool(_NUMBER.match(old)) == bool(_NUMBER.match(new))


def _close(one: str, other: str) -> bool:
    """Whether two words are spellings of each other, as far as beginnings and ends tell."""
    if one == other or min(len(one), len(other)) < _LEAST_STEM + 1:
        return False
    alike = sum(a == b for a, b in zip(one, other, strict=False))
    ends = sum(a == b for a, b in zip(reversed(one), reversed(other), strict=False))
    return alike >= _LEAST_STEM or ends >= max(len(one), len(other)) - 2


def _replaced(known: Known, place: tuple[int, int], new: str) -> Corrected:
    start, end = place
    wrong, text = known.text[start:end], f"{known.text[:start]}{new}{known.text[end:]}"
    if known.attribute.startswith(f"{REMARK}."):
        return Corrected(known, remark_attribute(text), known.value, text)
    value = known.value or ""
    if normal(wrong) and normal(wrong) in value:
        return Corrected(known, known.attribute, value.replace(normal(wrong), normal(new)), text)
    if slug(wrong) and slug(wrong) in known.attribute:
        return Corrected(known, known.attribute.replace(slug(wrong), slug(new)), value, text)
    return Corrected(known, remark_attribute(text), "yes", text)
