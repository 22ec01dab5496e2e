"""Packing: chooses the memories of a context, to cover as much evidence as the budget allows.

First come memories that govern the answer whatever its topic: standing instructions, and
preferences or facts near the question, each within a share of the room. Then the memory that adds
most for its length is added, one after another: by the log-odds of its score, more for important
ones, less for long ones, and less if the context already holds its citations or words (budgeted
maximum coverage by the greedy rule of Khuller, Moss & Naor 1999). Long episodes go in shortened,
and whole if room is left.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from heapq import heapify, heappop, heappush

from memory.context.excerpts import excerpt, stems
from memory.context.rendering import (
    INSTRUCTIONS,
    PROFILE,
    Entry,
    heading,
    line,
    title_of,
    trusted,
)
from memory.language.questions import Question
from memory.language.text import CHARACTERS_A_TOKEN, content_words, folded
from memory.language.turns import turns_of
from memory.models import KIND_TRAITS, RecalledMemory, Tier

TokenEstimator = Callable[[str], int]

LENGTH = 0.6
"""The cost of each natural logarithm of tokens; 0 would rank by score, 1 by score per token."""

SHORTEST = 20
"""Tokens below which a shorter memory costs no less."""

IMPORTANCE = 2.0
"""The score that an importance from 0 to 1 adds."""

ODDS = 9.0
"""The largest distance of a score from the best; a memory further away is filler at any budget."""

SMALL_TALK = 5
"""Content words below which an episode says nothing, unless it has a word of the question."""

NEW_WORDS = 0.1
"""The worth of new words in a memory that cites nothing new."""

REPETITION = 0.15
"""A memory that cites nothing new is a repetition under this share of new words."""

GOVERNING, MENTIONED = 0.25, 0.08
"""The share of the room for standing instructions: for a request, and otherwise."""

FEW = 3
"""Standing instructions that always go in."""

PREFERRED, KNOWN = 0.15, 0.1
"""The share for preferences in a request, and for facts and preferences otherwise."""

EXCERPT_CHARACTERS = 480
"""An episode up to this length is never shortened: the answer is often beside the match."""

EPISODES_IN_BUDGET = 16
"""Longer episodes are cut to the budget divided by this, until room is left over."""

BROAD_CHARACTERS, BROAD_IN_BUDGET = 240, 40
"""The same two for a broad question: many sessions answer it, each a little."""

_MARKER = 99


class Packing:
    """A choice of memories under construction, within `room` tokens by `estimate`.

    `shown` are interactions that the reader sees anyway. Costs are added line by line, which is
    exact for an additive estimator; the caller checks the final size.
    """

    def __init__(
        self,
        question: Question,
        estimate: TokenEstimator,
        room: int,
        shown: frozenset[str] = frozenset(),
    ) -> None:
        self.entries: list[Entry] = []
        self._estimate = estimate
        self._room = room
        self._left = room
        self._request = question.request
        self._asked = stems(content_words(question.searched))
        least, parts = (
            (BROAD_CHARACTERS, BROAD_IN_BUDGET)
            if question.broad
            else (EXCERPT_CHARACTERS, EPISODES_IN_BUDGET)
        )
        self._excerpt_length = max(least, room * CHARACTERS_A_TOKEN // parts)
        self._shown = shown
        self._titles: set[str] = set()
        self._said: dict[str, set[str]] = {interaction: set() for interaction in shown}
        self._ids: set[int] = set()
        self._texts: set[str] = set()
        self._words: dict[int, frozenset[str]] = {}
        self._idle: dict[int, bool] = {}

    def add(self, recalled: Sequence[RecalledMemory]) -> None:
        """Adds the user's own memories, best first as recall ranks them, until nothing fits."""
        unseen = [item for item in recalled if not only_repeats(item, self._shown)]
        best = max((item.score for item in unseen), default=0.0)
        near = [i for i in unseen if i.score >= best - ODDS and not self._small_talk(i)]
        if self._request:
            self._reserve(unseen, INSTRUCTIONS, GOVERNING)
            self._reserve(near, PROFILE, PREFERRED)
        else:
            self._reserve(unseen, INSTRUCTIONS, MENTIONED, FEW)
            self._reserve(near, PROFILE, KNOWN)
        self._cover(near)
        self._unabridge()

    def add_shared(self, collective: Iterable[RecalledMemory], most: int) -> None:
        """Adds collective memories, in the order given, within `most` tokens."""
        for item in collective:
            cost = self._cost(Entry.whole(item))
            if cost <= most and self._put(Entry.whole(item)):
                most -= cost

    def widen(self, left: int) -> None:
        """Sets the room that is really left."""
        self._left = max(left, 0)

    def _small_talk(self, item: RecalledMemory) -> bool:
        turns = turns_of(item.memory.payload)
        if not turns or item.tokens > 2 * SHORTEST:
            return False
        idle = self._idle.get(item.memory.id)
        if idle is None:
            said = {w for t in turns for w in content_words(item.memory.text[t.start : t.end])}
            idle = len(said) < SMALL_TALK and not stems(said) & self._asked
            self._idle[item.memory.id] = idle
        return idle

    def _reserve(
        self,
        recalled: Iterable[RecalledMemory],
        title: str,
        share: float,
        most: int | None = None,
    ) -> None:
        taken = sum(self._cost(e) for e in self.entries if title_of(e.item) == title)
        room = self._room * share - taken
        wanted = [i for i in recalled if title_of(i) == title and self._governs(i, title)]
        for item in sorted(wanted, key=lambda i: (-_value(i), i.memory.id))[:most]:
            if item.memory.id in self._ids:
                continue
            cost = self._cost(Entry.whole(item))
            if cost <= room and self._put(Entry.whole(item)):
                room -= cost

    def _governs(self, item: RecalledMemory, title: str) -> bool:
        """Whether a memory may matter to an answer without sharing a word with the question."""
        if item.memory.valid_to is not None or not trusted(item.memory):
            return False
        return title == INSTRUCTIONS or not self._request or KIND_TRAITS[item.memory.kind].governs

    def _cover(self, recalled: Sequence[RecalledMemory]) -> None:
        """Adds greedily the memory that adds most for its length; its worth only ever falls."""
        heap = [(-self._worth(item), n) for n, item in enumerate(recalled)]
        heapify(heap)
        while heap and self._left >= SHORTEST // 2:
            before, n = heappop(heap)
            worth = self._worth(recalled[n])
            if math.isinf(worth) or self._shortest(recalled[n]) > self._left:
                continue
            if worth < -before - 1e-9:
                heappush(heap, (-worth, n))
            else:
                self._put(self._shortened(recalled[n]))

    def _worth(self, item: RecalledMemory) -> float:
        new = 0.0 if item.memory.id in self._ids else self._new(item)
        if not new:
            return -math.inf
        tokens = max(self._shortest(item), SHORTEST)
        return _value(item) - LENGTH * math.log(tokens) + math.log(new)

    def _shortest(self, item: RecalledMemory) -> int:
        """Its approximate size in tokens, shortened if it is long."""
        return min(item.tokens, self._excerpt_length // CHARACTERS_A_TOKEN)

    def _new(self, item: RecalledMemory) -> float:
        """The share of its citations that are new, or a little for new words."""
        if not item.citations:
            return 1.0
        uncited = sum(i not in self._said for i in item.citations) / len(item.citations)
        if uncited == 1.0:
            return 1.0
        if item.memory.id not in self._words:
            self._words[item.memory.id] = frozenset(content_words(item.memory.text))
        words = self._words[item.memory.id]
        said = set[str]().union(*(self._said.get(i, ()) for i in item.citations))
        unsaid = len(words - said) / max(len(words), 1)
        return max(uncited, NEW_WORDS * unsaid if unsaid >= REPETITION else 0.0)

    def _shortened(self, item: RecalledMemory) -> Entry:
        memory = item.memory
        said = excerpt(memory.text, memory.payload, self._asked, self._excerpt_length)
        return Entry.whole(item) if said is None else Entry.shortened(item, said)

    def _put(self, entry: Entry) -> bool:
        """Adds an entry if it fits and its words are not in the context yet."""
        words = folded(entry.text)
        cost = self._cost(entry)
        if cost > self._left or words in self._texts:
            return False
        self._left -= cost
        self._texts.add(words)
        self._titles.add(title_of(entry.item))
        self.entries.append(entry)
        if entry.item.memory.tier is not Tier.COLLECTIVE:  # whose ids are counted by themselves
            self._ids.add(entry.item.memory.id)
        said = content_words(entry.text)
        for interaction in entry.item.citations:
            self._said.setdefault(interaction, set()).update(said)
        return True

    def _cost(self, entry: Entry) -> int:
        title = title_of(entry.item)
        head = "" if title in self._titles else f"\n\n{heading(title)}"
        return self._estimate(f"{head}{line(entry, _MARKER)}\n")

    def _unabridge(self) -> None:
        """Restores shortened episodes to full length, best first, while they fit."""
        for n in sorted(range(len(self.entries)), key=lambda n: -self.entries[n].item.score):
            entry = self.entries[n]
            if entry.excerpt:
                whole = Entry.whole(entry.item)
                more = self._cost(whole) - self._cost(entry)
                if more <= self._left:
                    self._left -= more
                    self.entries[n] = whole


def only_repeats(item: RecalledMemory, shown: frozenset[str]) -> bool:
    """Returns whether the reader sees all the evidence of a memory anyway."""
    return bool(item.citations) and shown.issuperset(item.citations)


def _value(item: RecalledMemory) -> float:
    """A score in log-odds, plus the value of importance."""
    return item.score + IMPORTANCE * (item.memory.importance - 0.5)
