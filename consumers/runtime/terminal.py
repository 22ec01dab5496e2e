"""Makes text safe to print: what users wrote must not control a terminal or turn its lines."""

import re

from memory.language.escaping import INVISIBLE

_CONTROL = re.compile(f"[{INVISIBLE}\r\x0b\x0c\x85\u2028\u2029]")


def plain(text: str) -> str:
    """Replaces all that controls or hides text, but for tabs and newlines, by a visible mark."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def printable_json(document: str) -> str:
    """Returns a JSON document that says the same, with such characters escaped."""
    return _CONTROL.sub(_escape, document)


def _escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[n]:02x}{units[n + 1]:02x}" for n in range(0, len(units), 2))
