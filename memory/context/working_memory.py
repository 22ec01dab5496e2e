"""Fits the working tier into a context: recent turns, task state, and a summary of older turns.

The stored summary ends where extraction last stopped. The turns between it and the recent turns are
summarised here, so that the next context misses nothing that was said.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from memory.context.rendering import turn_text
from memory.language.text import (
    CHARACTERS_A_TOKEN,
    NO_SUMMARY,
    RollingSummary,
    spoken_lines,
)
from memory.log.interactions import WorkingMemory
from memory.models import Interaction

NO_WORDS = RollingSummary("A: ")
"""A summary of one line without words, by which the room for the words is measured."""

SUMMARY = 0.3
"""The share of the working tier's room that is reserved for a summary, if there is one."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """The visible part of a session; `turns` oldest first, the last perhaps cut."""

    turns: tuple[Interaction, ...] = ()
    state: Mapping[str, Any] = field(default_factory=dict)
    summary: RollingSummary = NO_SUMMARY


Measure = Callable[[Conversation], int]
"""Measures the tokens of a context that holds this conversation."""


def fitted(working: WorkingMemory, limit: int, tokens: Measure) -> Conversation:
    """Returns as much of the working tier as fits into `limit` by `tokens`.

    In this order: the newest turn, cut if necessary; task state; older turns; and, within its own
    share, the summary of everything before them.
    """
    shown = Conversation(turns=_newest(working.window, limit, tokens))
    if working.state:
        stated = replace(shown, state=working.state)
        shown = stated if tokens(stated) <= limit else shown
    if not shown.turns:
        return shown
    all_turns = replace(shown, turns=(*working.window[:-1], *shown.turns))
    told = bool(working.summary or working.between)
    if not told and tokens(all_turns) <= limit:
        return all_turns
    kept = int(SUMMARY * (limit - tokens(Conversation())))
    shown = _older(working.window, shown, limit - kept, tokens)
    return _summarised(working, shown, limit, tokens)


def _newest(window: Sequence[Interaction], limit: int, tokens: Measure) -> tuple[Interaction, ...]:
    """The newest turn, or the part of its beginning that fits; nothing if not even a word does."""
    if not window:
        return ()
    turn = window[-1]
    if tokens(Conversation((turn,))) <= limit:
        return (turn,)
    text = turn.content or turn_text(turn)

    def cut(length: int) -> Conversation:
        return Conversation((replace(turn, content=text[:length] + "…"),))

    # The longest that fits lies at or above `low`, if estimates grow with the text.
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if tokens(cut(middle)) <= limit else (low, middle - 1)
    return cut(low).turns if low and tokens(cut(low)) <= limit else ()


def _older(
    window: Sequence[Interaction], shown: Conversation, limit: int, tokens: Measure
) -> Conversation:
    for turn in reversed(window[: len(window) - len(shown.turns)]):
        longer = replace(shown, turns=(turn, *shown.turns))
        if tokens(longer) > limit:
            break
        shown = longer
    return shown


def _summarised(
    working: WorkingMemory, shown: Conversation, limit: int, tokens: Measure
) -> Conversation:
    """Adds a summary of everything before the visible turns, as long as there is room."""
    fallen = [*working.between, *working.window[: len(working.window) - len(shown.turns)]]
    # Without an ordinal it is on its way into the log, and so after all that was summarised.
    new = [i for i in fallen if not i.ordinal or i.ordinal > working.summary_through]
    said = spoken_lines(new)
    room = limit - tokens(replace(shown, summary=NO_WORDS))
    stored = RollingSummary(working.summary, working.summary_sources)
    if not said and len(working.summary) <= CHARACTERS_A_TOKEN * room:
        whole = replace(shown, summary=stored)
        if tokens(whole) <= limit:
            return whole
    while room > 0:
        told = replace(shown, summary=stored.over(said, room))
        if tokens(told) <= limit:
            return told
        room //= 2
    return shown
