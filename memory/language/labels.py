"""Labels: how a context names who said something, so that no name looks like a role.

A label is a role (`User`), a person's name (`Ana`), or a kind of source with its name (`Tool
web_search`), and perhaps what it is worth (`(untrusted)`). A name that is not plain stands as a
JSON string.
"""

import json
import re
import unicodedata
from dataclasses import dataclass

from memory.language.escaping import escaped_in_line, restored
from memory.models import Role

MOST_CHARACTERS = 40
"""The longest name that stands as it is."""

ROLES = ("User", "Assistant", "System", "Tool", "Agent", "Document", "Note")
"""What a label may begin with that is no name."""

UNTRUSTED, OTHER_AGENT = "untrusted", "other agent"

_RESERVED = frozenset(
    {*map(str.casefold, ROLES), "human", "ai", "developer", "model", "function", "after"}
)
_PLAIN = r"[^\W_](?:[\w .'\u2019-]{0,38}[\w.'\u2019])?"
_PLAIN_NAME = re.compile(_PLAIN)
_QUOTED = r'"(?:[^"\\\n]|\\[^\n])*+"'
_LABEL = re.compile(
    rf"(?:(?P<role>{'|'.join(ROLES)})(?: (?P<of>{_QUOTED}|{_PLAIN}))?|(?P<name>{_QUOTED}|{_PLAIN}))"
    rf"(?: \((?P<note>{UNTRUSTED}|{OTHER_AGENT})\))?: "
)
_LOOKS_LIKE_ROLE = re.compile(rf"\\*(?:{'|'.join(ROLES)})\b[^:\n]{{0,200}}:", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Label:
    """Who said something: one of ROLES or '' for a person by name, the name, and the note."""

    role: str = ""
    name: str | None = None
    note: str = ""

    def __str__(self) -> str:
        name = "" if self.name is None else named(self.name)
        note = f" ({self.note})" if self.note else ""
        return f"{self.role}{' ' if self.role and name else ''}{name}{note}"


def label_of(role: Role, actor: str | None) -> Label:
    """Returns the label of a message: the speaker's name, or the role if there is none."""
    if actor is None or actor == "":
        return Label(role.value.capitalize())
    return Label(_OF_ROLE[role], actor)


_OF_ROLE = {Role.USER: "", Role.ASSISTANT: "Agent", Role.SYSTEM: "System", Role.TOOL: "Tool"}


def episode_label(speaker: str, assistant: bool) -> Label:
    """Returns the label of a turn of an episode, which holds a name or else a role."""
    role = Role.ASSISTANT if assistant else Role.USER
    return label_of(role, None if speaker == role.value.capitalize() else speaker)


def named(name: str) -> str:
    """Returns a name as it is, or as a JSON string if it is not plain."""
    return name if is_plain(name) else escaped_in_line(json.dumps(name, ensure_ascii=False))


def is_plain(name: str) -> bool:
    """Whether a name cannot be taken for anything else.

    It has up to 40 letters, digits, single spaces and `. ' - _`, in the letters of one script, and
    its first word is no role.
    """
    if not _PLAIN_NAME.fullmatch(name) or "  " in name:
        return False
    if name.isascii():
        return _first_word(name) not in _RESERVED
    letters = unicodedata.normalize("NFKD", name)
    bare = "".join(c for c in letters if not unicodedata.combining(c))
    return _first_word(bare) not in _RESERVED and _one_script(bare)


def _first_word(name: str) -> str:
    found = re.match(r"[^\W\d_]+", name.casefold())
    return found[0] if found else ""


def _one_script(name: str) -> bool:
    """Whether all letters are of one script, by the first words of their Unicode names."""
    return len({unicodedata.name(c, "?").split()[0] for c in name if c.isalpha()} - _JAPANESE) <= 1


_JAPANESE = {"HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"}


def read_label(line: str) -> tuple[Label, str] | None:
    """Splits a line into its label and the rest after the colon; None if it has no label."""
    found = _LABEL.match(line)
    if not found:
        return None
    role, of, name, note = found.group("role", "of", "name", "note")
    given = of or name
    plain = given is None or not given.startswith('"')
    try:
        known = given if plain or given is None else json.loads(restored(given))
    except ValueError:
        return None
    return Label(role or "", known, note or ""), line[found.end() :]


def split_label(line: str) -> tuple[str, str] | None:
    """Splits a line into its label as it is written and the rest; None if it has no label."""
    found = _LABEL.match(line)
    return (line[: found.end() - 2], line[found.end() :]) if found else None


def looks_like_role(line: str) -> bool:
    """Whether a line begins as if somebody in a role said it, after any backslashes."""
    return bool(_LOOKS_LIKE_ROLE.match(line))
