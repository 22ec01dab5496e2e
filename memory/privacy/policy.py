"""What a tenant wants done with secrets and personal data, by class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from memory.errors import SensitiveContent
from memory.models import Interaction
from memory.privacy.findings import Recogniser, Sensitive
from memory.privacy.interactions import Found, found, masked
from memory.privacy.presidio import presidio


class Action(StrEnum):
    """What becomes of a class.

    KEEP: nothing. MASK: it is masked in all that is derived; the log keeps what was said.
    MASK_IN_LOG: it is masked before it is written. REFUSE: what holds it is not written.
    """

    KEEP = "keep"
    MASK = "mask"
    MASK_IN_LOG = "mask_in_log"
    REFUSE = "refuse"


OTHERS: Mapping[str, Recogniser] = {"presidio": presidio}
"""Recognisers of other packages, by the names that a policy has for them."""


@dataclass(frozen=True, slots=True)
class SensitivePolicy:
    """The classes to refuse, to mask in the log, and to mask in what is derived.

    more: the recognisers to ask beside our own.
    What is derived never holds a class that is not kept: the log may be older than the policy.
    """

    refused: frozenset[Sensitive] = field(default_factory=frozenset)
    masked_in_log: frozenset[Sensitive] = field(default_factory=frozenset)
    masked: frozenset[Sensitive] = field(default_factory=frozenset)
    more: tuple[Recogniser, ...] = ()

    @classmethod
    def of(
        cls, actions: Mapping[str, Any] | None, recognisers: Sequence[str] | None = None
    ) -> Self:
        """Reads the actions by class, as a policy holds them; unknown names are left out."""
        known = {
            Sensitive(name): Action(action)
            for name, action in (actions or {}).items()
            if name in set(Sensitive) and action in set(Action)
        }

        def those(*which: Action) -> frozenset[Sensitive]:
            return frozenset(name for name, action in known.items() if action in which)

        return cls(
            those(Action.REFUSE),
            those(Action.MASK_IN_LOG),
            those(Action.MASK, Action.MASK_IN_LOG, Action.REFUSE),
            tuple(OTHERS[name] for name in recognisers or () if name in OTHERS),
        )

    def __bool__(self) -> bool:
        return bool(self.masked)

    @property
    def never_written(self) -> frozenset[Sensitive]:
        """The classes that the store must not hold, not even in the copy of a dead letter."""
        return self.refused | self.masked_in_log

    def to_write(self, interaction: Interaction) -> Interaction:
        """Returns what may be written of an interaction.

        Raises:
            SensitiveContent: it holds a class that is refused.
        """
        if self.refused and (refused := found(interaction, self.refused, self.more)):
            raise _refusal(interaction, refused)
        return masked(interaction, self.masked_in_log, self.more)

    def to_derive(self, interaction: Interaction) -> Interaction:
        """Returns an interaction of the log as memories may be derived from it."""
        return masked(interaction, self.masked, self.more)


KEEPS_ALL = SensitivePolicy()


def _refusal(interaction: Interaction, refused: Sequence[Found]) -> SensitiveContent:
    first = refused[0]
    classes = tuple(sorted({f.finding.sensitive.value for f in refused}))
    more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
    return SensitiveContent(
        f"interaction {interaction.id!r}: the policy of tenant {interaction.scope.tenant!r} refuses"
        f" what looks like {_article(first.finding.sensitive)}, in {first.place} from character"
        f" {first.finding.start} to {first.finding.end}{more}",
        classes,
        first.place,
    )


def _article(sensitive: Sensitive) -> str:
    return f"{'an' if sensitive.spelled[0] in 'aAe' else 'a'} {sensitive.spelled}"
