"""Finds what people pasted or quoted inside their own messages, by structure alone.

A person may wrap any words: fences, quotation marks, mail headers, a transcript, a document after
an introduction. The words are not asked; how they stand on the page is. In doubt they are quoted:
then they are kept and shown as what was said, and found no belief by themselves.

Every step reads the text once, from the front.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from memory.models import Origin, Role

Stretch = tuple[int, int]
"""Offsets into the content; the end is exclusive."""


@dataclass(frozen=True, slots=True)
class OriginSpan:
    """The stretch `content[start:end]` and whose words it is."""

    start: int
    end: int
    origin: Origin


@dataclass(frozen=True, slots=True)
class _Line:
    """One line without its break: `content[start:end]`."""

    start: int
    end: int
    text: str
    blank: bool


def spans_of(content: str, role: Role) -> tuple[OriginSpan, ...]:
    """Returns the spans of a message in order, without gaps: the speaker's own, and quoted ones.

    Only a person's message has quoted spans; in one of another role nothing is more trusted than
    the rest. Linear in the length of `content`.
    """
    own = _OWN[role]
    if not content:
        return ()
    if role is not Role.USER:
        return (OriginSpan(0, len(content), own),)
    return tuple(_spans(content, own, _merged(_quoted(content), len(content))))


_OWN = {
    Role.USER: Origin.PERSON,
    Role.ASSISTANT: Origin.AGENT,
    Role.SYSTEM: Origin.APP,
    Role.TOOL: Origin.TOOL,
}


def _spans(content: str, own: Origin, quoted: Iterable[Stretch]) -> Iterator[OriginSpan]:
    at = 0
    for start, end in quoted:
        if at < start:
            yield OriginSpan(at, start, own)
        yield OriginSpan(start, end, Origin.QUOTED)
        at = end
    if at < len(content):
        yield OriginSpan(at, len(content), own)


def _merged(stretches: Iterable[Stretch], length: int) -> list[Stretch]:
    merged: list[Stretch] = []
    for start, end in sorted((s, min(e, length)) for s, e in stretches):
        if start >= end:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _quoted(content: str) -> Iterator[Stretch]:
    lines = _lines(content)
    for find in _IN_LINES:
        yield from find(lines)
    for find_in in _IN_TEXT:
        yield from find_in(content)
    if tail := _tail(lines):
        yield (tail.start, len(content))


_BREAK = re.compile("\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")


def _lines(content: str) -> list[_Line]:
    """The lines of a text, of several blank ones in a row the first."""
    found: list[_Line] = []
    start = 0
    for end, after in [*(m.span() for m in _BREAK.finditer(content)), (len(content), 0)]:
        text = content[start:end]
        blank = not text or text.isspace()
        if not (blank and found and found[-1].blank):
            found.append(_Line(start, end, text, blank))
        start = after
    return found


# Blocks of lines ----------------------------------------------------------------------------------

_FENCE = re.compile(r"\s*(?:[-*+>]\s+)?(`{3,}|~{3,})")
_INDENTED = re.compile(r" {0,3}\t| {4,}")
_LISTED = re.compile(r"\s*(?:[-*+\u2022\u2013]|\d{1,3}[.)])\s")
_MARKED = re.compile(
    r"\s*(?:[>\uff1e|\u2502\u2503\u258c{}]|&[gl]t;|\[?[\"\u201c][^\"\u201d\n]{1,60}[\"\u201d]\s?:)"
)
_CITED = re.compile(r"(?:\\{0,20}\[\\{0,20}\d{1,6}\\{0,20}\]\s*){1,20}[.)]?\s*\Z")


def _fenced(lines: Sequence[_Line]) -> Iterator[Stretch]:
    """``` and ~~~ blocks; one that is not closed goes on to the end."""
    opened: tuple[int, str] | None = None
    for line in lines:
        match = _FENCE.match(line.text)
        if match is None:
            continue
        if opened is None:
            opened = line.start, match[1]
        elif match[1].startswith(opened[1]) and not line.text[match.end() :].strip():
            yield opened[0], line.end
            opened = None
    if opened is not None:
        yield opened[0], lines[-1].end


def _marked(lines: Sequence[_Line]) -> Iterator[Stretch]:
    """Quoted lines (`>`), tables, objects, indented code, and lines that end in a citation."""
    for line in lines:
        indented = _INDENTED.match(line.text) and not _LISTED.match(line.text)
        if not line.blank and (
            indented or _MARKED.match(line.text) or _CITED.search(line.text, _last(line.text, 200))
        ):
            yield line.start, line.end


def _last(text: str, characters: int) -> int:
    return max(0, len(text) - characters)


# Chat logs ----------------------------------------------------------------------------------------

_CLOCK = r"\d{1,2}[:.]\d{2}(?:[:.]\d{2})?(?:\s?[ap]\.?m\.?)?"
_STAMPED = re.compile(
    rf"\W{{0,3}}(?:\d{{1,4}}[-./]\d{{1,2}}[-./]\d{{1,4}},?[ T]{{1,3}})?{_CLOCK}\W{{1,4}}\w"
    rf"|[^\n:,\[(]{{1,40}}[,\[(]\s?(?:[^\n:,]{{1,20}}[, ]\s?)?{_CLOCK}[\])]?\s?(?:[:\u2013-]|\Z)",
    re.IGNORECASE,
)
_NAMED = re.compile(r"\s*[*_<(\[]{0,3}(\w[\w.'-]{0,30}(?: \w[\w.'-]{0,30}){0,2})[*_>)\]]{0,3}:\s")


_ONE_NAMED = re.compile(r"\s*[*_]{0,2}([A-Z][\w.'-]{0,20})(?: [A-Z][\w.'-]{0,20}){0,2}[*_]{0,2}:\s")
_LABELS = re.compile(
    r"\s*[*_]{0,2}(?:notes?|p\.?s\.?|update|edit|fyi|reminder|correction|btw|also|context|background"
    r"|questions?|answers?|tl;?dr|me|plans?|goals?|job|name|important|remember|preferences?|summary"
    r"|status|facts?|task|first|second|third|finally|hint|info|details|diet|allerg\w+|hobb\w+|age|city"
    r"|home|work|languages?|favou?rites?|budget|deadline|address|phone|birthday|likes|dislikes|news"
    r"|warning|caution|disclaimer|confession|spoiler|example|topic|situation|problem|issue|today"
    r"|tomorrow|monday|tuesday|wednesday|thursday|friday|saturday|sunday|rule|always|never)\b",
    re.IGNORECASE,
)
"""What people label their own lines with; another name and a colon is somebody who speaks."""

_REPORTS = re.compile(
    r"\b(?:said|says|wrote|writes|replied|answered|told (?:me|us)|texted|reads|states|message|mail"
    r"|email)[:\uff1a]\s",
    re.IGNORECASE,
)


def _reported(lines: Sequence[_Line]) -> Iterator[Stretch]:
    """What follows a speaker's name, "said:" or a task ("Translate: ...") on the same line."""
    for line in lines:
        if ":" not in line.text and "\uff1a" not in line.text:
            continue
        text = line.text
        if _ONE_NAMED.match(text) and not _LABELS.match(text):
            yield line.start, line.end
        elif said := _REPORTS.search(text):
            yield line.start + said.end(), line.end
        elif _TO_BE_WORKED_ON.match(text):
            yield line.start + text.replace("\uff1a", ":").find(":") + 1, line.end


def _chatted(lines: Sequence[_Line]) -> Iterator[Stretch]:
    """Lines of a log with times, and what follows each up to a blank line."""
    within = False
    for line in lines:
        within = (within and not line.blank) or bool(_STAMPED.match(line.text))
        if within and not line.blank:
            yield line.start, line.end


# Where the rest is not the person's ---------------------------------------------------------------

_ROLES = (
    r"system|user|assistant|human|ai|benutzer|syst\u00e8me|sistema|usuario|asistente|utilisateur|bot|chatbot|tool|developer|agent|model|llm|gpt|chatgpt|claude"
    r"|gemini|operator|admin(?:istrator)?|moderator|function|document|server|instructions?"
)
_ROLE_LABEL = re.compile(
    rf"\s*(?:#{{1,6}}\s*)?[*_\[(<{{|=~-]{{0,6}}\s?(?:{_ROLES})\b[^\n:\uff1a]{{0,60}}[:\uff1a]",
    re.IGNORECASE,
)
_ROLE_HEADING = re.compile(
    rf"\s*(?:#{{1,6}}\s*|[*_\[(<{{|=~-]{{1,6}}\s?)(?:new |the |my |your )?(?:{_ROLES})\b.{{0,60}}\Z"
    rf"|\s*(?:{_ROLES})(?: (?:prompts?|messages?|notes?|notices?|instructions?|override))?\s*\Z",
    re.IGNORECASE,
)
HEADINGS = (
    "Standing instructions", "What is known", "How it was done", "From earlier conversations",
    "What worked for others", "Task state", "Earlier in this conversation", "Recent turns",
    "Between the turns",
)  # fmt: skip
"""The titles of our own contexts, as `memory.context.rendering` writes them."""

_OUR_HEADING = re.compile(
    rf"\s*(?:#{{1,6}}\s*)?[*_]{{0,2}}(?:{'|'.join(HEADINGS)})\b[*_:\s]{{0,4}}", re.IGNORECASE
)
_HEADING = re.compile(r" {0,3}#{1,6}\s+\w")
_MAIL = re.compile(
    r"\s*[*_]{0,2}(?:subject|from|to|cc|bcc|sent|date|reply-to|message-id|betreff|von|gesendet"
    r"|objet|asunto)[*_]{0,2}:\s",
    re.IGNORECASE,
)
_FORWARDED = re.compile(
    r"\s*[-_=*>#]{2,}.{0,60}\b(?:original|forwarded|weitergeleitete?)\b"
    r"|\s*(?:begin )?forwarded message\b"
    r"|\s*[-=_*~#+]{3,}(?:\s|\Z|\s?\w[^\n]{0,80}[-=_*~#+]{3,}\s*\Z)",
    re.IGNORECASE,
)
_SALUTATION = re.compile(
    r"\s*(?:hi|hello|hey|dear|good (?:morning|afternoon|evening|day)|hallo|liebe[rs]?"
    r"|sehr geehrte[rs]?|bonjour|hola)\b(?:[ ,]{1,2}[\w.'-]{1,30}){0,5}\s?[,!:\u2013-]?\s*\Z",
    re.IGNORECASE,
)
_SIGNED = re.compile(
    r"\s*(?:best|regards|kind|warm|cheers|sincerely|yours|thanks|thank you|love|greetings"
    r"|many thanks|viele|mit)\b[^.!?\n]{0,40},?\s*\Z|\s*--\s*\Z",
    re.IGNORECASE,
)
_INTRODUCES = re.compile(r"[:\uff1a]\s*[*_]{0,2}\s*\Z")
_OF_THEMSELVES = re.compile(
    r"\babout (?:me|myself|my ?self)\b|\b(?:remember|note|know)(?: (?:this|that|these))?\W{0,6}\Z"
    r"|\A\W{0,6}(?:my (?:preferences|settings|rules|details|profile|facts)|me)\b",
    re.IGNORECASE,
)
_POINTS = re.compile(
    r"\b(?:this|these|that|following|below|here|wrote|writes|said|says|schrieb|\u00e9crit)\b",
    re.IGNORECASE,
)
_TO_BE_WORKED_ON = re.compile(
    r"\W{0,6}(?:(?:please|can you|could you|would you|will you|help me|kindly)\s+){0,3}(?:translate"
    r"|proof-?read|summari[sz]e|rewrite|rephrase|paraphrase|correct|edit|polish|shorten|improve"
    r"|check|fix|analy[sz]e|explain|answer|review|read|look at|respond|reply|format|classify)\b",
    re.IGNORECASE,
)
_LONGEST_INTRODUCTION = 300


def _tail(lines: Sequence[_Line]) -> _Line | None:
    """The first line from which on nothing is the person's own, if there is one."""
    labels = _labelled(lines)
    after_blank = True
    for n, line in enumerate(lines):
        if line.blank:
            after_blank = True
            continue
        if n in labels or _begins_foreign(line) or (n and _SALUTATION.match(line.text)):
            return line
        if n == 0 and _SALUTATION.match(line.text) and _signed(lines):
            return line
        block = _introduced(lines, n, after_blank=after_blank)
        if block is not None:
            return lines[block]
        after_blank = False
    return None


def _begins_foreign(line: _Line) -> bool:
    if _HEADING.match(line.text) and not _OF_THEMSELVES.search(line.text):
        return True
    return any(
        pattern.match(line.text)
        for pattern in (_ROLE_LABEL, _ROLE_HEADING, _OUR_HEADING, _MAIL, _FORWARDED)
    )


def _labelled(lines: Sequence[_Line]) -> frozenset[int]:
    """The first of two lines that follow each other and both begin with a name and a colon."""
    before: int | None = None
    for n, line in enumerate(lines):
        if line.blank:
            continue
        if not _NAMED.match(line.text):
            before = None
        elif before is None:
            before = n
        else:
            return frozenset({before})
    return frozenset()


def _signed(lines: Sequence[_Line]) -> bool:
    """Whether one of the last three lines that are not blank is the close of a letter."""
    last = [line for line in lines[-12:] if not line.blank][-3:]
    return any(_SIGNED.match(line.text) for line in last)


def _introduced(lines: Sequence[_Line], n: int, *, after_blank: bool) -> int | None:
    """The line where a block begins that line `n` introduces: after ":", or as what to work on.

    Lists are the person's way to go on, so that a list is introduced only by what is worked on.
    """
    text = lines[n].text
    following = next((m for m in range(n + 1, len(lines)) if not lines[m].blank), None)
    if following is None or len(text) > _LONGEST_INTRODUCTION or _OF_THEMSELVES.search(text):
        return None
    worked_on = _TO_BE_WORKED_ON.match(text) is not None
    if _INTRODUCES.search(text, _last(text, 20)):
        own_list = _LISTED.match(lines[following].text) and not (worked_on or _POINTS.search(text))
        return None if own_list else following
    asks = text.rstrip().endswith("?") or worked_on
    apart = following > n + 1
    return following if after_blank and apart and asks and _POINTS.search(text) else None


# Marks within the text ----------------------------------------------------------------------------

_COMMENT = re.compile(r"<!--|-->")
_TAG = re.compile(r"<(/?)([A-Za-z][\w:.-]{0,40})(?:\s[^<>]{0,400})?(/?)>")
_TOKENS = re.compile(
    r"<\|[^|<>\n]{1,40}\|>|\[/?INST\]|<</?SYS>>|</?s>|<(?:start|end)_of_turn>|\[/?(?:SYSTEM|TOOL)"
    r"[A-Z_]{0,30}\]",
    re.IGNORECASE,
)
_CLOSES = re.compile(r"/|end", re.IGNORECASE)
_ROLE_NAME = re.compile(rf"(?:{_ROLES}|context|memory|memories|prompt|rules?)\Z", re.IGNORECASE)


def _commented(content: str) -> Iterator[Stretch]:
    opened = None
    for match in _COMMENT.finditer(content):
        if match[0] == "<!--":
            opened = match.start() if opened is None else opened
        elif opened is not None:
            yield opened, match.end()
            opened = None
    if opened is not None:
        yield opened, len(content)


def _tagged(content: str) -> Iterator[Stretch]:
    """Elements with all they hold; of a tag that nothing closes, the tag, or all for a role."""
    opened: dict[str, tuple[int, int, int]] = {}
    for match in _TAG.finditer(content):
        name = match[2].casefold()
        start, end, depth = opened.get(name, (match.start(), match.end(), 0))
        if match[3]:
            yield match.start(), match.end()
        elif not match[1]:
            opened[name] = start, end, depth + 1
        elif depth > 1:
            opened[name] = start, end, depth - 1
        else:
            opened.pop(name, None)
            yield start, match.end()
    for name, (start, end, _) in opened.items():
        yield start, len(content) if _ROLE_NAME.match(name) else end


def _tokened(content: str) -> Iterator[Stretch]:
    """What stands between the marks of chat templates, up to the last one that closes."""
    begins, end, closed = None, 0, False
    for match in _TOKENS.finditer(content):
        begins = match.start() if begins is None else begins
        end, closed = match.end(), bool(_CLOSES.search(match[0]))
    if begins is not None:
        yield begins, end if closed else len(content)


_MARKS = {"\u201c": "\u201d", "\u201e": "\u201c\u201d", "\u00ab": "\u00bb", "\u00bb": "\u00ab",
          "\u300c": "\u300d", "\u300e": "\u300f", '"': '"', "\u201d": "\u201d"}  # fmt: skip
_MARK = re.compile('[\u201c\u201d\u201e\u00ab\u00bb\u300c\u300d\u300e\u300f"]')
_SENTENCE = re.compile(r"[.!?\u2026,;]\s*\Z|[.!?\u2026;]\s")
_LEAST_WORDS, _MOST_OF_A_TITLE = 3, 7
_PARAGRAPH = re.compile(r"\n\s*\n")
_INCH = re.compile(r"\d\Z")


def _spoken(content: str) -> Iterator[Stretch]:
    """Sentences in quotation marks; a title in them is a name and no quotation."""
    at = 0
    for part in [*(m.end() for m in _PARAGRAPH.finditer(content)), len(content)]:
        opened: tuple[int, str] | None = None
        for match in _MARK.finditer(content, at, part):
            mark = match[0]
            if opened is None:
                inch = mark == '"' and _INCH.search(
                    content, max(0, match.start() - 1), match.start()
                )
                opened = None if inch else (match.start(), _MARKS.get(mark, mark))
            elif mark in opened[1]:
                if _sentence(content, opened[0] + 1, match.start()):
                    yield opened[0], match.end()
                opened = None
        at = part


def _sentence(content: str, start: int, end: int) -> bool:
    said = content[start:end]
    words = len(said.split())
    return words > _MOST_OF_A_TITLE or (words >= _LEAST_WORDS and bool(_SENTENCE.search(said)))


# Hidden characters --------------------------------------------------------------------------------

_FLAG = re.compile("\U0001f3f4[\U000e0030-\U000e007a]{2,6}\U000e007f")
_HIDDEN_RUN = re.compile("[\u00ad\u061c\u180e\u200b-\u200f\u2060-\u2064\ufeff]{2,}")
_HIDDEN_ONE = re.compile("[\u00ad\u180e\u200b\u2060-\u2064\ufeff]")
_TAG_CHARACTER = re.compile("[\U000e0000-\U000e007f]")
_OVERRIDE = re.compile("[\u202a-\u202e\u2066-\u2069]")
_MOST_HIDDEN = 2


def _hidden(lines: Sequence[_Line]) -> Iterator[Stretch]:
    """Lines whose looks and characters differ: runs of no width, tags, changes of direction."""
    for line in lines:
        if not line.text.isascii() and _hides(line.text):
            yield line.start, line.end


def _hides(text: str) -> bool:
    if _OVERRIDE.search(text) or _HIDDEN_RUN.search(text):
        return True
    if _TAG_CHARACTER.search(text) and _TAG_CHARACTER.search(_FLAG.sub("", text)):
        return True
    return len(_HIDDEN_ONE.findall(text)) > _MOST_HIDDEN


_IN_LINES: tuple[Callable[[Sequence[_Line]], Iterator[Stretch]], ...] = (
    _fenced, _marked, _reported, _chatted, _hidden,
)  # fmt: skip
_IN_TEXT: tuple[Callable[[str], Iterator[Stretch]], ...] = (_commented, _tagged, _tokened, _spoken)


# Names of speakers --------------------------------------------------------------------------------

_NAME = re.compile(r"[\w.'\u2019@+-]{1,40}(?: [\w.'\u2019()@+-]{1,40}){0,3}\Z")
_ONLY_A_ROLE = re.compile(rf"(?:{_ROLES})\Z", re.IGNORECASE)
_LONGEST_NAME = 60
_PARTICLES = frozenset(
    ("van", "von", "de", "der", "den", "del", "di", "da", "dos", "la", "le", "bin", "al", "el",
     "ten", "ter", "zu", "y", "e")
)  # fmt: skip


def is_a_name(actor: str) -> bool:
    """Returns whether a speaker's name can be one: no role, no heading, no sentence.

    A name of several words begins each with a capital, or none (`ana`, `tom jones`).
    """
    if len(actor) > _LONGEST_NAME or not _NAME.match(actor) or _ONLY_A_ROLE.match(actor):
        return False
    words = [word for word in actor.split() if word.casefold() not in _PARTICLES]
    lower = [word for word in words if word[:1].islower()]
    return not lower or len(lower) == len(words) <= 2  # noqa: PLR2004 - first and last name
