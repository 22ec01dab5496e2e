"""Finds the author's own words in a message, sentence by sentence.

Every step keeps offsets: masked text is replaced by as many characters, so a span of the masked
text is the same span of the message.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from extractors.reading.english.lexicon import any_of

NOT_THEIRS = "\ufffc"
"""Stands for each character inside a sentence that somebody else wrote."""
_TYPOGRAPHIC = str.maketrans(
    {"\u2019": "'", "\u2018": "'", "\u201c": '"', "\u201d": '"', NOT_THEIRS: " "}
)
"""An author's own U+FFFC marks a pasted image or file: nothing they said."""
_SHORTEST = 3  # "I" and a verb
_LONGEST = 8_000  # longer without a full stop is no speech


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of the author's own, as offsets into the message; `asks` if it ends in "?"."""

    start: int
    end: int
    text: str
    asks: bool


# What the author did not write --------------------------------------------------------------------

_FENCE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_FOREIGN_LINE = re.compile(
    r"^[ \t]*>.*$"
    r"|^[ \t]*(?:import|from \w+ import|def|class|const|let|var|function|public|private|return"
    r"|#include|SELECT|INSERT|CREATE)\b.*$"
    r"|^[ \t]*[<{}\]@].*$"
    r"|^.*[;{}]$",
    re.MULTILINE,
)
_FOREIGN_TAIL = re.compile(
    r"^[ \t]*(?:subject|from|to|cc|sent): "
    r"|^-{3,}.*(?:original|forwarded) message"
    r"|^on .{6,60} wrote:"
    r"|^dear .{1,60},$"
    r"|^(?=[a-z]{2,20}: .*\n+[a-z]{2,20}: )",
    re.MULTILINE | re.IGNORECASE,
)
_TO_BE_WORKED_ON = re.compile(
    r"\A\W*(?:(?:please|can you|could you|help me)\s+)*(?:translate|proofread|summari[sz]e|rewrite"
    r"|rephrase|paraphrase|correct|edit|polish|shorten|improve)\b[^\n:]{0,80}[:\n]",
    re.IGNORECASE,
)
_INLINE = re.compile(r'`[^`\n]*`|(?<!\w)"[^"\n]{1,400}"|https?://\S+')
_MARKUP = re.compile(r"^[ \t]*(?:[-*+•]|#{1,6}|\d{1,2}[.)])[ \t]|\*\*|__", re.MULTILINE)


def straightened(content: str) -> str:
    """Returns `content` with plain quotation marks and pasted objects blanked; the same length."""
    return content.translate(_TYPOGRAPHIC)


def own_words(content: str) -> str:
    """Returns `content` with quoted, pasted, code and markup text masked; the same length.

    Blocks become line breaks, so that no sentence crosses them; quotations inside a sentence become
    placeholders, so that the sentence keeps its shape.
    """
    text = straightened(content)
    if "```" in text:
        text = _FENCE.sub(_as_breaks, text)
    text = _without_tail(text, _TO_BE_WORKED_ON.match(text), keep_match=True)
    if "\n" in text or text.startswith(">"):
        text = _FOREIGN_LINE.sub(_as_breaks, text)
        text = _without_tail(text, _FOREIGN_TAIL.search(text))
        text = _MARKUP.sub(_as_blanks, text)
    if '"' in text or "`" in text or "://" in text:
        text = _INLINE.sub(_as_placeholders, text)
    return text


def _without_tail(text: str, found: re.Match[str] | None, *, keep_match: bool = False) -> str:
    if found is None:
        return text
    end = found.end() if keep_match else found.start()
    return text[:end] + "\n" * (len(text) - end)


def _as_breaks(match: re.Match[str]) -> str:
    return "\n" * len(match[0])


def _as_blanks(match: re.Match[str]) -> str:
    return " " * len(match[0])


def _as_placeholders(match: re.Match[str]) -> str:
    return NOT_THEIRS * len(match[0])


# Sentences ----------------------------------------------------------------------------------------

_SENTENCE_END = re.compile(
    r"(?<!\bMr)(?<!\bMs)(?<!\bDr)(?<!\bSt)(?<!\bMrs)(?<!\bvs)(?<!\be\.g)(?<!\bi\.e)(?<!\b[A-Z])"
    r"[.!?\u2026]{1,200}+(?=[\s)\"']|\Z)|\n+|,?\s(?=\d{1,2}\)\s)"
    r"|[,;]\s(?=(?i:no,? wait|scratch that|i mean|i meant|sorry,? i meant?|make that|or rather)\b)|[\u2600-\u27bf\U0001f300-\U0001faff]+"
)
_NO_STATEMENT = re.compile(
    r"\byeah,? right\b|\bas if!|\bjust kidding\b|\bj/?k\b|(?<!\S)/s(?!\w)|\U0001f644|\bsarcasm\b"
    r"|\b(?:just|only|i'm|im|haha,?|lol,?) (?:kidding|joking)\b|(?:\A|[.!]\s)not\.\s*\Z"
    r"|\b(?:wow|great|sure|so|obviously|totally|yeah)\b[^.!?\n]{0,80}[\U0001f602\U0001f923\U0001f643]",
    re.IGNORECASE,
)
_FICTION = re.compile(
    rf"\s*(?:{any_of('ok okay so now please hey')}[, ]+)*(?:"
    + any_of(
        "imagine suppose pretend let's_say let's_pretend let_us_say act_as role-play roleplay"
        " hypothetically say_i assume picture_this what_if for_example"
    )
    + r"|(?:write|draft|compose)\s(?:me\s)?(?:an?|the)\s)",
    re.IGNORECASE,
)


def sentences(text: str) -> Iterator[Sentence]:
    """Yields the sentences of a masked message, up to where it turns to fiction; none of a joke."""
    if _NO_STATEMENT.search(text):
        return
    start = 0
    for found in _SENTENCE_END.finditer(text):
        end = found.start()
        if _SHORTEST <= end - start <= _LONGEST:
            if _FICTION.match(text, start, end):
                return
            yield Sentence(start, end, text[start:end], "?" in found[0])
        start = found.end()
    if _SHORTEST <= len(text) - start <= _LONGEST and not _FICTION.match(text, start):
        yield Sentence(start, len(text), text[start:], asks=False)
