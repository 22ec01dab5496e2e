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
_STANDING = (
    r"\b(?:always|never|ever|every\s(?!body|one|thing)\w+|each\stime|from\s(?:now|here)\son(?:wards?)?|going\sforward|in\s(?:the\s)?future|by\sdefault|generally"
    r"|in\sgeneral|as\sa\s(?:rule|default|habit)|permanently|for\sgood|at\sall\stimes|any\s?time|whenever|all\s(?:your|the|my|of\smy)\s\w+|all\sthe\stime|until\s(?:i|further)\s\w+|for\sall"
    r"|not\sjust\s(?:now|this\stime|today|once)|no\smatter\swhat|without\sexception|on\severy|in\sany\sof|everywhere|unless\si\s(?:ask|say|tell|request)|again)\b"
)
_ASKED_OF_YOU = (
    r"(?:(?:don't|do\snot|dont|stop|please|just|only|always|never)\s)*"
    r"(?!give\sup|say\snever|mind\b|let's\b|never\b)(?:"
    + any_of(
        "use give say make keep be include format provide show write reply respond answer explain confirm"
        " report ask cite check list add mention highlight put start begin end translate speak talk suggest"
        " recommend schedule book send remind quote specify apply present avoid assume display convert round"
        " state describe prefer offer propose verify double-check test comment name refer address tell let"
        " help compare stick_to skip omit leave call treat spell round warn bother sugarcoat apologise apologize"
        " using giving saying making calling suggesting recommending asking adding repeating starting ending"
        " writing sending explaining mark tag sort order group number link sign cc bcc teach correct"
    )
    + r")\b"
)
_STYLE = any_of(
    "answers answer replies reply responses response messages message explanations explanation summaries emails"
    " texts sentences paragraphs code examples lists tables emojis emoji bullet_points bullets exclamation_marks"
    " small_talk jargon buzzwords disclaimers spoilers hashtags headings markdown jokes puns abbreviations"
    " pleasantries filler fluff apologies lectures semicolons oxford_commas em_dashes metric imperial celsius"
    " fahrenheit kilometres kilometers miles kilograms units dates times prices"
)
_WISHES = (
    _rule(rf"{_POLITE}(?P<do>{_ASKED_OF_YOU}(?=.*{_STANDING}).*)"),
    _rule(rf"{_POLITE}(?P<do>.*{_STANDING}[,:]?\s(?:please\s)?{_ASKED_OF_YOU}.*)"),
    _rule(
        r"\A\W*(?:and\s|also\s|btw\s|pls\s|please\s)*(?P<when>(?:whenever|every\stime|each\stime|any\s?time|when)\s(?:i|you|u|we)\s(?:\w+\s){0,2}?"
        r"(?:ask|say|request|mention|show|write|suggest|give|recommend|cite|quote|talk|speak|answer|explain|send|use|list|name|post|share|book|plan|want|need|code|describe)\b"
        rf"[^.;!?]{{0,80}}?),?\s(?:please\s|then\s|pls\s)?(?P<do>{_ASKED_OF_YOU}.*)"
    ),
    _rule(
        r"\b(?P<do>(?:we|i)\s(?:only\s|always\s|strictly\s)?(?:use|write|prefer|stick\sto|go\swith|code\sin|work\swith|speak)\s[^.;!?]{1,40}?,?\s(?:and\s)?(?:never|not)\s\w.*)"
    ),
    _rule(
        rf"\A\W*(?P<do>i(?:'d)?\s(?:would\s)?(?:much\s|really\s|always\s)?(?:prefer|like|love|want|need|hate|rather|don't\slike|dislike|can't\sstand|appreciate)\s(?:it\s(?:when|if)\s|if\s|when\s)?"
        rf"(?:you(?:'d)?\s(?!do\b|can\b|said\b|are\sso\b)(?:to\s)?(?:not\s)?\w+\b(?!\syou\b).*|your\s(?:\w+\s){{0,2}}{_STYLE}\b.*))"
    ),
    _rule(
        rf"\A\W*(?:please,?\s|pls\s)?(?P<do>(?:no(?:\smore)?|zero|skip\sthe|drop\sthe|spare\sme\sthe|enough\swith\sthe|easy\son\sthe|less|fewer|more)\s(?:\w+\s){{0,2}}{_STYLE}\b(?!\sin\b).*)"
    ),
    _rule(
        rf"\A\W*(?P<do>(?:your\s|all\s|keep\s(?:your\s|the\s)?)(?:\w+\s)?{_STYLE}\s(?:should|must|need\sto|have\sto|short|brief|simple|formal|under|below|at\smost|to\s\w+)\b.*)"
    ),
    _rule(
        rf"\A\W*(?P<do>(?:short|brief|concise|long|detailed|plain|simple|metric|formal|informal|direct)\s(?:\w+\s)?{_STYLE}\b(?:\s(?:only|please|pls))?)\W*\Z"
    ),
    _rule(
        rf"\A\W*(?P<do>(?:{_STYLE}|dates|prices|distances|temperatures|weights|code|numbers|times)\s(?:always\s)?(?:in|as|with|without)\s.*(?:please|pls|always|{_STANDING}).*)"
    ),
    _rule(
        rf"{_POLITE}(?P<do>(?:treat|address|refer\sto|talk\sto|speak\sto)\sme\s(?!as\s(?:if|though)).*)"
    ),
    _rule(
        rf"{_POLITE}(?P<do>(?:email|e-mail|text|message|call|write)\sme\s.*\b(?:instead\sof|rather\sthan|never|not)\b.*)"
    ),
    _rule(
        r"\A\W*(?P<do>you\s(?:don't\s(?:have|need)\sto|can\s(?:skip|drop|stop|leave\sout|always)|may\salways|needn't)\b.*)"
    ),
)
_PLAIN = _rule(rf"{_POLITE}(?:pls\s)?(?P<do>{_ASKED_OF_YOU}.*)")
_ONCE = _rule(
    r"\b(?:today|tonight|tomorrow|now|yet|still|once|first|this\s(?!user|kind|sort|way)\w+|that\sone|next\s(?:reply|message|answer|response|one|time|post|mail|email|turn|question|step|paragraph|section|slide)"
    r"|for\s(?:now|the\smoment)|at\sthe\smoment|right\snow|just\sthis|in\sit|below|above|following|attached|previous|last\s(?:reply|answer|message)|the\s(?:table|list|draft|text|letter|chart|email|mail|essay|poem|story|file|report|summary|post|image|picture|code|document|title|intro|heading)"
    r"|(?:it|them)(?!\s(?:when|if)))\b"
)
_GENERALLY = _rule(
    r"\b(?:not\sjust\s(?:now|this\stime|today|once)|generally|in\sgeneral|every\s(?:single\s)?time|from\snow\son|permanently|for\sgood|as\sa\srule|each\stime|going\sforward|always|by\sdefault)\b"
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
        " every each all generally in_general prefer rather hate instead no less fewer more skip drop short brief"
        " never ever u you permanently rule please pls treat address we i'd metric"
    )
    + r"\b"
)


def generally(text: str) -> bool:
    """Returns whether a message says of its requests that they are for good."""
    return bool(_GENERALLY.search(text))


def instructions(
    sentence: str, written: str, actor: str | None, *, asks: bool, standing: bool = False
) -> Iterator[Found]:
    """Yields the standing instructions in a sentence, and how someone wants to be called.

    `written` is the sentence with its quotations, which `sentence` masks; `standing` if the message
    says that its requests are for good. An instruction has the
    attribute `instruction`, its words as value and its condition as context. Asking for something
    ends an earlier prohibition of it, and the other way round. An instruction that names a setting
    (a number, a language, a currency, a unit) has the matter it settles as context, "send me …
    candidates at a time", and ends the older setting of it.
    """
    if asks or not (standing or _HINT.search(sentence)):
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
    elif (found := _first_rule(text, standing=standing)) and not _only_now(found["do"], text):
        do, when = written[slice(*found.span("do"))], found.groupdict().get("when")
        for claim in _instruction(do, when, actor):
            yield Found(claim, start + found.start(), start + len(text))


def _only_now(do: str, sentence: str) -> bool:
    """Whether a request is for this answer, this text or this day alone."""
    if _ONLY_NOW.search(do) or _IN_THAT.search(sentence):
        return True
    return bool(_ONCE.search(sentence)) and not _standing(sentence)


def _standing(text: str) -> bool:
    return bool(_FROM_THEN_ON.search(text))


_IN_THAT = _rule(
    r"\bin\s(?:it|that|this)\s*\Z|\b(?:the|this|that)\s(?:list|table|chart|letter|poem)\b"
)
_FROM_THEN_ON = _rule(_STANDING)


def _first_rule(text: str, *, standing: bool) -> re.Match[str] | None:
    """The first rule that reads the sentence, or the part after a colon in it."""
    after = text.rfind(": ") + 2
    heads = [text, " " * after + text[after:]] if text[after : after + 1].isupper() else [text]
    rules = (*_RULES, *_WISHES, *((_PLAIN,) if standing else ()))
    return next((m for head in heads for rule in rules if (m := rule.search(head))), None)


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
