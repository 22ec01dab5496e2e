"""Tells names and values from sentences: what reaches a memory as data must not be an order.

Feedback and tool calls bring texts that anybody may have written: an item's description, an
argument copied from a page. By themselves they are no words of the user.
"""

import re

MOST_WORDS = 5
"""The most words of a value: more of them say something."""

_IDENTIFIER = re.compile(r"[\w.:/@#+-]+\Z")
_SAYS = re.compile(r"[\n\r\v\f\x1c-\x1f\x85\u2028\u2029;!?\u2026]|[.,:](?=\s)")


def is_identifier(text: str) -> bool:
    """Returns whether `text` is one word of letters, digits and `. : / @ # + - _`."""
    return bool(_IDENTIFIER.match(text))


def is_value(text: str, most_words: int = MOST_WORDS) -> bool:
    """Returns whether `text` can be a value: on one line, of few words, without a sentence's marks.

    Blank text can.
    """
    said = text.strip()
    return len(said.split()) <= most_words and not _SAYS.search(said)
