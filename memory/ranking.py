"""Ranking: cheap signals about a question and a memory, and their weighted sum.

The weights are in `ranking_weights.json`, fitted by `benchmarks/fit_recall.py`; they apply to the
signals as they are, with no further scaling.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memory.questions import Question
from memory.spoken import INSTRUCTION, PREFERENCE, turns_of

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

POOL = 60
"""Memories taken from each of the two orders, by meaning and by words, to be read in full."""

MOST_INSTRUCTIONS = 40
SPREAD = 0.5
"""What each further memory of one session pays when a broad question wants many sessions heard."""

K1, B = 1.2, 0.75
CLEARLY_BETTER = 2.0
"""By how much a statement has to beat the episode it was read from to be listed beside it."""

SHORT = 20
"""Lexemes below which a memory is short."""

SIGNALS = (
    "dense",
    "words",
    "words_before",
    "words_after",
    "speaker",
    "instruction_request",
    "preference_request",
    "date",
    "opening_broad",
    "phrases",
    "coverage",
    "short",
    "statement",
    "assistant",
)
"""
dense: z-score, over all of the user's memories, of the cosine between question and memory.
words: BM25 over the best BM25 of any memory, less 1.
words_before, words_after: z-score of the BM25 of the neighbouring episode in the session.
speaker: twice the share of the words that the named speaker said, less 1; 0 if none is named.
instruction_request, preference_request: 1 for a standing instruction, or a preference, when the
    question asks for something that it could govern, whether or not they share a word.
date: as `Question.date_match`, of the time of the event.
opening_broad: for a broad question, 1 for the opening of a session, falling with the place in it.
phrases: neighbouring words of the question that are neighbours in the memory.
coverage: share of the question's words, by rarity, that the memory holds.
short: how far under SHORT lexemes it is, on a logarithmic scale.
statement: 1 for anything but an episode.
assistant: 1 for an episode that holds only an assistant's words.
"""


@dataclass(frozen=True, slots=True)
class Scores:
    """All of a user's memories, in any order, with how near each is to a question.

    rarity: the question's lexemes that occur at all, with their inverse document frequency.
    """

    ids: Indices
    dense: Floats
    bm25: Floats
    sessions: Indices
    ordinals: Indices
    ordinal_tos: Indices
    instructions: frozenset[int]
    rarity: Mapping[str, float]
    mean_words: float

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Scores":
        """The row of `recall.scores`; empty where the user has no memories."""
        ids = np.array(row["ids"] or [], dtype=np.int64)
        bm25 = np.zeros(len(ids))
        if row["matched_ids"]:
            order = np.argsort(ids)
            at = order[np.searchsorted(ids, row["matched_ids"], sorter=order)]
            bm25[at] = row["bm25"]
        lexemes = zip(row["lexemes"] or (), row["idf"] or (), strict=True)
        return cls(
            ids,
            np.array(row["dense"] or [], dtype=np.float64),
            bm25,
            np.array([s or 0 for s in row["sessions"] or ()], dtype=np.int64),
            np.array([o or 0 for o in row["ordinals"] or ()], dtype=np.int64),
            np.array([o or 0 for o in row["ordinal_tos"] or ()], dtype=np.int64),
            frozenset(row["instructions"] or ()),
            dict(lexemes),
            row["mean_words"] or 1.0,
        )


@cache
def shipped_weights() -> Mapping[str, float]:
    """The fitted weight of each signal."""
    path = Path(__file__).with_name("ranking_weights.json")
    weights: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))["weights"]
    return weights


def pool(scores: Scores, question: Question, size: int = POOL) -> Indices:
    """Which memories to read in full: the best by either score, and standing instructions.

    Indices into `scores`, ascending.
    """
    best = np.union1d(_top(scores.dense, size), _top(scores.bm25, size))
    if question.request and scores.instructions:
        newest = sorted(scores.instructions, reverse=True)[:MOST_INSTRUCTIONS]
        best = np.union1d(best, np.flatnonzero(np.isin(scores.ids, newest)))
    return best


def _top(values: Floats, size: int) -> Indices:
    if len(values) <= size:
        return np.arange(len(values))
    return np.argpartition(-values, size)[:size]


def signals(
    question: Question, scores: Scores, chosen: Indices, rows: Sequence[Mapping[str, Any]]
) -> Floats:
    """The signals of the chosen memories, (chosen, SIGNALS); `rows` of `recall.details` in order."""
    before, after, place = _neighbours(scores, _z(scores.bm25))
    bm25 = np.array([_bm25(row, scores) for row in rows])
    found = {
        "dense": _z(scores.dense)[chosen],
        "words": bm25 / max(float(bm25.max(initial=0.0)), 1e-6) - 1.0,
        "words_before": before[chosen],
        "words_after": after[chosen],
        "opening_broad": question.broad / (1.0 + place[chosen] / 10.0),
    }
    table = np.empty((len(rows), len(SIGNALS)))
    for column, name in enumerate(SIGNALS):
        if name in found:
            table[:, column] = found[name]
    own = {name: SIGNALS.index(name) for name in SIGNALS if name not in found}
    for n, row in enumerate(rows):
        for name, value in _of_one(question, scores, row).items():
            table[n, own[name]] = value
    return table


def _of_one(question: Question, scores: Scores, row: Mapping[str, Any]) -> dict[str, float]:
    payload = row["payload"]
    turns = turns_of(payload)
    instruction = row["attribute"] == INSTRUCTION or payload.get(INSTRUCTION, False)
    preference = row["kind"] == PREFERENCE or payload.get(PREFERENCE, False)
    held = row["positions"] or {}
    total = sum(scores.rarity.values()) or 1.0
    return {
        "speaker": _speaker(question, row, turns),
        "instruction_request": float(instruction and question.request),
        "preference_request": float(preference and question.request),
        "date": question.date_match(row["valid_from"]),
        "phrases": _phrases(scores.rarity, held),
        "coverage": sum(w for lexeme, w in scores.rarity.items() if lexeme in held) / total,
        "short": max(0.0, math.log(SHORT) - math.log1p(row["words"])),
        "statement": float(not turns),
        "assistant": float(bool(turns) and all(turn.assistant for turn in turns)),
    }


def _speaker(question: Question, row: Mapping[str, Any], turns: Sequence[Any]) -> float:
    if question.speaker is None:
        return 0.0
    if not turns:
        return 1.0 if row["subject"] == question.speaker else -1.0
    said = sum(t.end - t.start for t in turns)
    theirs = sum(t.end - t.start for t in turns if t.speaker == question.speaker)
    return 2.0 * theirs / max(said, 1) - 1.0


def _phrases(rarity: Mapping[str, float], held: Mapping[str, Sequence[int]]) -> float:
    places = {lexeme: set(positions) for lexeme, positions in held.items() if lexeme in rarity}
    return float(
        sum(
            1
            for first, at in places.items()
            for second, other in places.items()
            if first != second and any(p + 1 in other for p in at)
        )
    )


def _bm25(row: Mapping[str, Any], scores: Scores) -> float:
    held = row["positions"] or {}
    norm = K1 * (1 - B + B * row["words"] / scores.mean_words)
    return sum(
        scores.rarity.get(lexeme, 0.0) * len(at) * (K1 + 1) / (len(at) + norm)
        for lexeme, at in held.items()
    )


def _neighbours(scores: Scores, values: Floats) -> tuple[Floats, Floats, Floats]:
    """For each memory the values of the episodes before and after its own, and its place.

    Episodes of a session follow each other without overlap; what lies within one (a statement
    from it, a reply it opens) has the neighbours of the one it lies in.
    """
    n = len(scores.ids)
    before, after, place = np.zeros(n), np.zeros(n), np.zeros(n)
    order = np.lexsort((scores.ids, -scores.ordinal_tos, scores.ordinals, scores.sessions))
    leads: list[int] = []
    members: list[list[int]] = []
    for i in order:
        if scores.ordinals[i] == 0:
            continue
        last = leads[-1] if leads else None
        if (
            last is not None
            and scores.sessions[last] == scores.sessions[i]
            and scores.ordinals[i] <= scores.ordinal_tos[last]
        ):
            members[-1].append(int(i))
        else:
            leads.append(int(i))
            members.append([int(i)])
    position = 0
    for at, lead in enumerate(leads):
        same = at > 0 and scores.sessions[leads[at - 1]] == scores.sessions[lead]
        position = position + 1 if same else 0
        place[members[at]] = position
        if same:
            before[members[at]] = values[leads[at - 1]]
            after[members[at - 1]] = values[lead]
    return before, after, place


def _z(values: Floats) -> Floats:
    if not len(values):
        return values
    return np.asarray((values - values.mean()) / max(float(values.std()), 1e-6))


def totals(
    question: Question,
    table: Floats,
    sessions: Sequence[str | None],
    weights: Mapping[str, float] | None = None,
) -> Floats:
    """One score a row of `table`: the weighted sum of its signals."""
    weights = shipped_weights() if weights is None else weights
    scores = np.asarray(table @ np.array([weights.get(name, 0.0) for name in SIGNALS]))
    return _spread(scores, sessions) if question.broad else scores


def ranked(scores: Floats, cited: Sequence[frozenset[str]], table: Floats) -> list[int]:
    """Rows from best to worst, each of which cites something that the rows before it do not.

    A statement and the episode it was read from say the same. Where the statement is not clearly
    better it lends the episode its score, since that also holds what was said around it.
    """
    lent = scores.copy()
    statement = table[:, SIGNALS.index("statement")] > 0
    source = _sources(cited, statement)
    absorbed = set()
    for n in np.flatnonzero(statement):
        episode = source.get(min(cited[n])) if len(cited[n]) == 1 else None
        if episode is not None and scores[n] < scores[episode] + CLEARLY_BETTER:
            absorbed.add(int(n))
            lent[episode] = max(lent[episode], scores[n])
    seen: set[str] = set()
    kept = []
    for n in np.argsort(-lent, kind="stable"):
        if int(n) not in absorbed and not (cited[n] and seen.issuperset(cited[n])):
            seen |= cited[n]
            kept.append(int(n))
    return kept


def _sources(
    cited: Sequence[frozenset[str]], statement: NDArray[np.bool_]
) -> dict[str, int]:
    """For each interaction the longest episode that cites it."""
    source: dict[str, int] = {}
    for n in sorted(np.flatnonzero(~statement), key=lambda n: len(cited[n])):
        source.update(dict.fromkeys(cited[n], int(n)))
    return source


def _spread(scores: Floats, sessions: Sequence[str | None]) -> Floats:
    heard: dict[str | None, int] = {}
    spread = scores.copy()
    for n in np.argsort(-scores, kind="stable"):
        spread[n] -= SPREAD * heard.get(sessions[n], 0)
        heard[sessions[n]] = heard.get(sessions[n], 0) + 1
    return spread
