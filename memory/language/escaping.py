"""Escapes what others wrote, so that it cannot look like the structure that it stands in.

Structure begins at the start of a line; what others wrote never does. Each escape is visible and
can be undone: `restored` is the inverse of `escaped`, and `unblocked` that of `blocked`.
"""

import re

INDENT = "    "
"""What a line begins with that continues what somebody wrote.

Four spaces: to whoever reads Markdown, no heading, list or quotation begins so either.
"""

INVISIBLE = (
    "\\x00-\\x08\\x0e-\\x1f\\x7f-\\x84\\x86-\\x9f\\xad\\u061c\\u180e\\u200b\\u200e\\u200f"
    "\\u202a-\\u202e\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb\\ud800-\\udfff\\U000e0000-\\U000e0fff"
)
"""Characters, as a class of `re` has them, that control a terminal, turn the direction of text or
hide it: control characters without those that end lines, bidirectional marks and overrides, zero
width, tags, variation selectors beyond the first 16, and halves of surrogate pairs."""

LINE_END = re.compile("\r\n|[\n\r\x0b\x0c\x85\u2028\u2029]")

_OPENING, _CLOSING = "\\[\uff3b\u3010(\uff08<\uff1c", "\\]\uff3d\u3011"
_CITATION = rf"\^? *\d[\d ,;\u2013-]*[{_CLOSING}]"
_TEMPLATE = (
    "[|\uff5c]|/?(?:INST|SYS|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|s|bos|eos|unk|pad"
    "|start_of_turn|end_of_turn|system|developer|user|human|assistant|model|tool) {0,3}/?[>\\]]"
)
NOTE = (
    r"(?:since|until) \d{4}-|disputed: |at least \d|of record\b"
    r"|(?:partly )?from (?:the agent|a tool|quoted text|an external source|a document"
    r"|another agent)\b|untrusted\b|other agent\b|unconfirmed\b"
    r"|(?:tool call|tool result|retrieval|feedback|model call|note)\)"
)
"""How the notes begin that a context puts in parentheses."""

_LOOK = f"(?={_CITATION}|{_TEMPLATE}|{NOTE})"
_TWICE = "(?<=[\u200c\u200d])[\u200c\u200d]|(?<=[\ufe00-\ufe0f])[\ufe00-\ufe0f]"
_SUSPECT = re.compile(f"[{_OPENING}\\\\{INVISIBLE}\u200c\u200d\ufe00-\ufe0f]")
_ENDING = "\n\r\x0b\x0c\x85\u2028\u2029"


def _escapable(invisible: str) -> re.Pattern[str]:
    return re.compile(
        rf"([{_OPENING}])(\\*+){_LOOK}"
        r"|(?<!\\)(\\++)(?=u\{[0-9A-Fa-f]{1,6}\})"
        rf"|(?<!\\)(\\*+)([{invisible}]|{_TWICE})",
        re.IGNORECASE,
    )


_ESCAPABLE = _escapable(INVISIBLE)
_IN_ONE_LINE = _escapable(INVISIBLE + _ENDING)
_ESCAPED = re.compile(
    rf"([{_OPENING}])(\\++){_LOOK}|(?<!\\)(\\++)u\{{([0-9A-Fa-f]{{1,6}})\}}", re.IGNORECASE
)


def escaped(text: str) -> str:
    r"""Returns `text` without citations, chat tokens, notes and invisible characters of its own.

    A backslash after the bracket breaks the first three, as in `[\1]` and `<\|im_start|>`. An
    invisible character is shown as `\u{202E}`. Lines stay; see `blocked`.
    """
    return _ESCAPABLE.sub(_escape, text) if _SUSPECT.search(text) else text


def escaped_in_line(text: str) -> str:
    r"""Returns `text` as `escaped` does, in one line: line ends are shown as `\u{A}` too."""
    return _IN_ONE_LINE.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    opening, after, literal, before, character = found.groups()
    if opening:
        return f"{opening}{after}\\"
    if literal:
        return literal * 2
    return f"{before * 2}\\u{{{ord(character):X}}}"


def restored(text: str) -> str:
    """Returns what `escaped` or `escaped_in_line` was given; other text as it is."""
    return _ESCAPED.sub(_restore, text) if "\\" in text else text


def _restore(found: re.Match[str]) -> str:
    opening, after, before, number = found.groups()
    if opening:
        return opening + after[:-1]
    half = before[: len(before) // 2]
    if len(before) % 2 == 0:
        return half + found[0][len(before) :]
    return half + chr(int(number, 16)) if int(number, 16) <= 0x10FFFF else found[0]  # noqa: PLR2004


def blocked(text: str) -> str:
    """Returns `text` escaped, each of its further lines indented, so that none begins a line."""
    return escaped(unified(text)).replace("\n", f"\n{INDENT}")


def unblocked(block: str) -> str:
    """Returns what `blocked` was given, but for its line ends, which are all newlines."""
    return restored(block.replace(f"\n{INDENT}", "\n"))


def unified(text: str) -> str:
    """Returns `text` with a newline for every line end, whatever Unicode character made it."""
    return text if text.isascii() and text.isprintable() else LINE_END.sub("\n", text)


def folded_line(text: str) -> str:
    """Returns `text` escaped and in one line, with single spaces."""
    return escaped(" ".join(text.split()))
