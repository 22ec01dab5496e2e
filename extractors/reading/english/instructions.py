"""Reads standing instructions: requests that hold from now on, not just this once."""

import re
from collections.abc import Iterator
from dataclasses import replace

from extractors.reading.english.claims import Claim, Found
from extractors.reading.english.grammar import capitalised
from extractors.reading.english.lexicon import any_of
from extractors.reading.english.verbs import Form, inflection, third_person
from extractors.reading.english.wording import normal
from memory.models import MemoryKind, Stance

_VERB = (  # what an assistant can be told to do
    r"(?:give\s(?!up|in\b)|say\s(?!never)|make\s(?!the\smost|it\b)|summari[sz]e|prioriti[sz]e"
    r"|organi[sz]e|emphasi[sz]e|analy[sz]e|b?cc"
    r"|keep\s(?!(?:going|fighting|pushing|believing|it\sup|up|on|moving|smiling|trying|dreaming"
    r"|that)\b)"
    r"|be\s(?:brief|concise|short|formal|informal|polite|direct|honest|specific|explicit|clear)|"
    + any_of(
        "use include format provide show write reply respond answer explain confirm report ask cite"
        " check list add maintain highlight put return start begin end translate speak talk mention"
        " suggest recommend schedule book send remind quote specify apply present avoid assume"
        " display express convert round state describe prefer offer propose verify validate"
        " double-check test document comment name wrap indent refer address call_me tell_me"
        " let_me_know help_me focus_on consider compare break follow stick_to align structure tailor"
        " note outline clarify calculate attach share notify inform cover factor limit shorten"
        " expand distinguish separate order sort group number label link reference create generate"
        " produce draw print output log choose pick select rank score contact email message skip"
        " omit exclude leave_out remove delete sign incorporate integrate discuss identify"
        " illustrate demonstrate evaluate"
    )
    + ")"
)
_ANSWERS = any_of(
    "answer answers reply replies response responses message messages explanation explanations"
    " summary summaries email emails code code_snippet code_snippets date dates number numbers price"
    " prices unit units"
)
_NEVER = r"(?:(?:always|never|don't|do not|only|just)\s)*"
_POLITE = (
    rf"\A\s*(?:{any_of('and also oh ok okay hey so but btw by_the_way one_more_thing then')}[,:]?\s)*"
    r"(?:please,?\s)?"
)
_YOU_SHOULD = r"(?:please |you should |then |i want you to |i'd like you to |make sure (?:to|you) )"
_FROM_NOW_ON = r"(?:from (?:now|here) on(?: out)?|going forward|in (?:the )?future|by default)"
_WHEN = r"(?:when(?:ever)?|every time|each time|any ?time|as soon as|if)\s"


def _rule(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE | re.DOTALL)


_RULES = (
    _rule(rf"{_POLITE}(?P<do>(?:always|never)\s{_VERB}\b.*)"),
    _rule(rf"{_POLITE}(?P<do>(?:always|never)\s(?!mind\b)\w+\b.*\s{_WHEN}(?:i|we|you)\b.*)"),
    _rule(
        rf"{_POLITE}(?:{_FROM_NOW_ON}|in (?:all )?your {_ANSWERS}|for all (?:future )?{_ANSWERS})"
        rf"[,:]?\s{_YOU_SHOULD}?(?P<do>{_NEVER}{_VERB}\b.*)"
    ),
    _rule(rf"{_POLITE}(?P<do>{_VERB}\b.*)\s{_FROM_NOW_ON}\Z"),
    _rule(
        rf"{_POLITE}(?P<when>{_WHEN}[^.;!?]{{2,120}}?),\s(?:{_YOU_SHOULD}|(?=always|never))+"
        rf"(?P<do>{_NEVER}{_VERB}\b.*)"
    ),
    _rule(
        rf"{_POLITE}(?P<when>(?:when(?:ever)?|every time|each time)\si\s(?:ask|say|request|mention)\b"
        rf"[^.;!?,]{{2,120}}),\s(?P<do>{_NEVER}{_VERB}\b.*)"
    ),
    _rule(rf"{_POLITE}(?P<do>(?:don't|do not|dont)\s(?:you )?ever\s{_VERB}\b.*)"),
    _rule(
        rf"{_POLITE}(?P<do>(?:don't|do not|dont|stop|avoid)\s(?:us(?:e|ing)|includ(?:e|ing)"
        r"|add(?:ing)?|call(?:ing)? me|suggest(?:ing)?|recommend(?:ing)?|repeat(?:ing)?"
        r"|apologi[sz](?:e|ing)|(?:end|start)(?:ing)? (?:your|with)|giv(?:e|ing) me"
        r"|(?:send|show|writ|schedul|book|repl|respond|answer)(?:e|y)?(?:ing)?(?: me)?)\b"
        r"(?!\s(?:it|that|this|them|the|to)\b)\s\w.*)"
    ),
    _rule(
        rf"{_POLITE}(?P<do>(?:keep|format|write|give|make)\s(?:me\s)?(?:all\s)?(?:your\s|the\s)?"
        rf"{_ANSWERS}\s(?!below|above|for this|here)\w.*)"
    ),
    _rule(
        rf"{_POLITE}(?P<do>(?:reply|respond|answer|talk|speak|write)(?:\sto me)?\s"
        rf"{any_of('in as_if briefly concisely formally informally only_in using')}\b.*)"
    ),
    _rule(
        rf"{_POLITE}(?P<do>(?:use|stick to)\s(?:metric|imperial|celsius|fahrenheit|bullet points"
        r"|british|american|24[- ]hour|12[- ]hour|iso|markdown|plain text|simple words)\b.*)"
    ),
    _rule(rf"{_POLITE}(?P<do>(?:send|show|give|suggest)\s(?:me\s)?.{{1,60}}\sat a time)\Z"),
    _rule(rf"{_POLITE}(?P<do>be\s(?:brief|concise|short|formal|informal|direct)\b.*)"),
    _rule(
        r"\b(?:i|we)(?:'d)?\s(?:really\s)?(?:want|need|would like|like|expect|prefer)\syou\sto\s"
        rf"(?P<do>(?:always|never|only)\s{_VERB}\b.*)"
    ),
    _rule(rf"\byou (?:should|must|need to|have to)\s(?P<do>(?:always|never)\s{_VERB}\b.*)"),
    _rule(
        rf"{_POLITE}(?:make sure (?:to|you|that you)|remember to)\s(?P<do>{_VERB}\b.*\b"
        r"(?:always|when(?:ever)? i|every time|each time|in (?:the )?future|from now on)\b.*)"
    ),
)
_CALL_ME = _rule(
    r"(?:\A|[,.;]\s*|\b(?:and|but|so|just|please)\s+)(?P<quote>(?:please\s|just\s)?(?:you can\s"
    r"|(?:everyone|everybody|people|my friends|friends|they)\s(?:all\s)?)?calls?\sme\s"
    r"(?P<v>(?:(?:dr|mr|ms|mrs|prof)\.?\s)?(?-i:[A-Z])[\w'-]+(?:\s(?-i:[A-Z])[\w'-]+)?))"
    r"(?=\s*(?:\Z|[,.;!]|\b(?:from|instead|please|not|and|for|rather)\b))"
)
_REPEALED = _rule(
    rf"{_POLITE}you\s(?:don't|do not|no longer)\s(?:have|need)\sto\s(?:always\s)?"
    rf"(?P<do>{_VERB}\b.+?)(?:,?\s(?:any ?more|any longer))?\Z"
)
_ONLY_NOW = _rule(
    r"\b(?:below|above|following|attached|this\s"
    + any_of(
        "code text email essay letter paragraph one time draft message function file list problem"
        " question"
    )
    + r")\b|:\s*\Z"
)
_CLOSING_WHEN = _rule(
    rf",?\s(?P<when>{_WHEN}{any_of('i we you there the a an my discussing talking')}\b.*)\Z"
)
_FORBIDS = _rule(r"\A(?:never|(?:don't|do not|dont)(?: (?:you )?ever)?|stop|avoid)\s")
_EVER = _rule(r"\A(?:always|please|just|only)\s")
_HINT = _rule(
    r"\b"
    + any_of(
        "always never from_now from_here forward future henceforth default when whenever every_time"
        " a_time each_time anytime any_time don't dont do_not stop avoid keep format write reply respond"
        " answer use be call calls no_longer your for_all give make talk speak stick"
    )
    + r"\b"
)


def instructions(sentence: str, written: str, actor: str | None, *, asks: bool) -> Iterator[Found]:
    """Yields the standing instructions in a sentence, and how someone wants to be called.

    `written` is the sentence with its quotations, which `sentence` masks. An instruction has the
    attribute `instruction`, its words as value and its condition as context. Asking for something
    ends an earlier prohibition of it, and the other way round. An instruction that names a setting
    (a number, a language, a currency, a unit) has the matter it settles as context, "send me …
    candidates at a time", and ends the older setting of it.
    """
    if asks or not _HINT.search(sentence):
        return
    start = len(sentence) - len(sentence.lstrip())
    text = sentence.strip().rstrip(".!")
    written = written[start : start + len(text)]
    if called := _CALL_ME.search(text):
        quoted = called.start("quote"), called.end("quote")
        yield Found(_called(called["v"]), start + quoted[0], start + quoted[1])
    elif repealed := _REPEALED.match(text):
        claim, _ = _instruction(written[slice(*repealed.span("do"))], None, actor)
        yield Found(_withdrawn(claim), start, start + len(text))
    elif (found := _first_rule(text)) and not _ONLY_NOW.search(found["do"]):
        do, when = written[slice(*found.span("do"))], found.groupdict().get("when")
        for claim in _instruction(do, when, actor):
            yield Found(claim, start + found.start(), start + len(text))


def _first_rule(text: str) -> re.Match[str] | None:
    """The first rule that reads the sentence, or the part after a colon in it."""
    after = text.rfind(": ") + 2
    heads = [text, " " * after + text[after:]] if text[after : after + 1].isupper() else [text]
    return next((m for head in heads for rule in _RULES if (m := rule.search(head))), None)


def _called(name: str) -> Claim:
    text = f"Wants to be called {name}"
    return Claim(
        "called",
        normal(name),
        text,
        kind=MemoryKind.PREFERENCE,
        confidence=0.95,
        importance=0.95,
    )


def _instruction(do: str, when: str | None, actor: str | None) -> tuple[Claim, Claim]:
    """The request, and the opposite that it withdraws."""
    closing = _CLOSING_WHEN.search(do) if when is None else None
    what = do[: closing.start()] if closing else do
    when = closing["when"] if closing else when
    condition = normal(_impersonal(when, actor)) if when else None
    core, forbidden = normal(_EVER.sub("", _FORBIDS.sub("", what))), bool(_FORBIDS.match(what))
    asked = Claim(
        "instruction",
        core,
        capitalised(_impersonal(f"{what} {when[0].lower()}{when[1:]}" if when else what, actor)),
        kind=MemoryKind.PREFERENCE,
        single_valued=_matter(core) is not None,
        context=": ".join(part for part in (condition, _matter(core)) if part) or None,
        confidence=0.95,
        importance=0.95,
    )
    refused = replace(asked, value=f"not {core}", single_valued=False, context=condition)
    return (refused, _withdrawn(asked)) if forbidden else (asked, _withdrawn(refused))


def _withdrawn(claim: Claim) -> Claim:
    told = f"do {claim.value}" if claim.value.startswith("not ") else claim.value
    return replace(claim, text=f"Withdrawn: {told}", stance=Stance.CONTRADICTS)


_SETTING = re.compile(
    r"\b(?:\d+(?:[.,]\d+)?|"
    + any_of(
        "one two three four five six seven eight nine ten twelve twenty english german french italian"
        " spanish portuguese dutch polish swedish danish norwegian finnish greek turkish arabic hindi"
        " chinese japanese korean russian ukrainian czech euros dollars pounds francs celsius"
        " fahrenheit metric imperial kilometres kilometers miles usd eur gbp chf"
    )
    + r")\b"
)


def _matter(core: str) -> str | None:
    """The matter of an instruction without its setting; None if it names none or several."""
    settings = _SETTING.findall(core)
    return _SETTING.sub("\u2026", core) if len(settings) == 1 else None


# Told to an agent ---------------------------------------------------------------------------------

_ASKED = _rule(
    r"\b(?P<when>when(?:ever)?|every time|each time|any ?time|if) (?:i|we) ask\b(?! you)"
)
_I_DO = _rule(r"(?<![\w'])(?:i|we) (?P<verb>\w+)\b")
_I_AM = _rule(r"\b(?:i'm|i am|we're|we are)\b")
_MY = _rule(r"\b(?:my|our)\b")
_ME = _rule(r"\b(?:me|(?-i:us))\b")


def _impersonal(text: str, actor: str | None) -> str:
    """An instruction as an agent reads it: "when I ask about X" becomes "when asked about X"."""
    user = actor or "the user"
    text = _ASKED.sub(lambda m: f"{'when' if m['when'].lower() == 'if' else m['when']} asked", text)
    text = _I_AM.sub(f"{user} is", text)
    text = _I_DO.sub(lambda m: f"{user} {_conjugated(m['verb'])}", text)
    return " ".join(_ME.sub(user, _MY.sub(f"{user}'s", text)).split())


def _conjugated(verb: str) -> str:
    if verb.lower() in {"was", "were"}:
        return "was"
    lemma, forms = inflection(verb.lower())
    return third_person(lemma) if Form.LEMMA in forms else verb
