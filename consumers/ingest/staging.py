"""A row of `staged` as COPY reads it.

Rows are written while records are read. The thread that applies a batch has then hardly anything to
do but wait for Postgres, and need not take turns with the one that reads.
"""

from memory.log.envelope import Incoming
from memory.log.trace_context import Trace

NULL = r"\N"


def staged_row(incoming: Incoming, trace: Trace) -> bytes:
    """Everything but the number, in the order of the table and in COPY's text format.

    Valid text holds no NUL, which separates fields until they are escaped, and no half of a
    surrogate pair.
    """
    interaction = incoming.interaction
    scope = interaction.scope
    texts = (
        scope.tenant,
        scope.user,
        interaction.session,
        interaction.id,
        interaction.content,
        incoming.payload,
        interaction.source,
    )
    return (
        _escaped("\0".join(texts)).replace("\0", "\t")
        + f"\t{'t' if interaction.private else 'f'}\t{interaction.kind.value}"
        f"\t{interaction.role.value}\t{interaction.occurred_at.isoformat()}"
        f"\t\\\\x{incoming.content_hash.hex()}\t{_nullable(scope.agent)}"
        f"\t{_nullable(interaction.actor)}\t{_nullable(trace.parent)}\t{_nullable(trace.state)}\n"
    ).encode()


def _escaped(text: str) -> str:
    """What separates fields and rows, and the backslash, as COPY reads them as themselves."""
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def _nullable(text: str | None) -> str:
    return NULL if text is None else _escaped(text)
