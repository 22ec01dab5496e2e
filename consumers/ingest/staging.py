"""Encodes rows of `staged` for COPY.

Rows are encoded while records are read. The thread that applies a batch then mostly waits for
Postgres, and does not compete with the one that reads.
"""

from memory.log.envelope import Incoming
from memory.log.fields import OPTIONAL, TEXTS, values_of
from memory.log.trace_context import NO_TRACE, Trace
from memory.models import offset_minutes

NULL = r"\N"
_UNTRACED = f"\0{NULL}\0{NULL}"

_texts_of, _optional_of = values_of(TEXTS), values_of(OPTIONAL)


def staged_row(incoming: Incoming, trace: Trace) -> bytes:
    """Everything but the number, in the order of `ingest.copy` and in COPY's text format.

    Valid text holds no NUL, which separates fields until all of them are escaped.
    """
    interaction = incoming.interaction
    scope = interaction.scope
    texts = "\0".join((scope.tenant, scope.user, *_texts_of(interaction), incoming.payload))
    row = (
        f"{_escaped(texts)}\0{'t' if interaction.private else 'f'}"
        f"\0{interaction.occurred_at.isoformat()}\0{offset_minutes(interaction.occurred_at)}"
    )
    for text in _optional_of(interaction):
        row += f"\0{NULL}" if text is None else f"\0{_escaped(text)}"
    traced = _UNTRACED if trace is NO_TRACE else _traced(trace)
    return f"{row}\0\\\\x{incoming.content_hash.hex()}{traced}\n".replace("\0", "\t").encode()


def _traced(trace: Trace) -> str:
    return "".join(f"\0{NULL if text is None else _escaped(text)}" for text in trace)


def _escaped(text: str) -> str:
    """Escapes field and row separators and the backslash for COPY."""
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
