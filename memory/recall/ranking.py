"""Ranking: cheap signals about a question and a memory, and their weighted sum.

The weights are in `ranking_weights.json`, fitted by `benchmarks/fit_recall.py`. They apply to the
signals as they are, with no further scaling.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memory.language.questions import Question
from memory.language.turns import (
    INSTRUCTION,
    PREFERENCE,
    by_assistant,
    turns_of,
)

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Positions = Mapping[str, Sequence[int]]
"""The positions of each lexeme of the question in a memory."""

_LEXEME = re.compile(r"'((?:[^']|'')*)':([0-9A-D,]+)")
_DIGITS = re.compile(r"\d+")

LIKELY = 200
"""Candidates taken from each of the two orders, by meaning and by words."""

POOL, NEAREST = 70, 30
"""Memories read in full: the best by the early signals, and the first of each order."""

MOST_INSTRUCTIONS, FEW_INSTRUCTIONS = 40, 3
"""Standing instructions read for a request, and for any other question."""

SPREAD = 0.5
"""The penalty on each further memory of one session, when a broad question needs many sessions."""

K1, B = 1.2, 0.75
CLEARLY_BETTER = 2.0
"""The lead that a statement needs over the episode it was read from, to be listed beside it."""

SESSION_BITS = 32
"""Bits by which a session's hash is shifted in a place; the ordinal is in the bits below."""

MARKED_BITS = 14
"""Bits of a session's hash by which it is looked up first."""

_MEMBER = np.dtype(
    [("id", ">i8"), ("place", ">i8"), ("ordinal_to", ">i4"), ("words", ">i4"), ("instruction", "?")]
)
"""As `member` writes a memory in the store."""

SHORT = 20
"""Lexemes below which a memory is short."""
_LOG_SHORT = math.log(SHORT)

SIGNALS = (
    "dense",
    "words",
    "words_before",
    "words_after",
    "beside_dense",
    "beside_words",
    "session_dense",
    "session_words",
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
beside_dense, beside_words: by how much the best of what lies in the same episode (the episode, what
    was read from it, a reply it opens) is better, in z-scores; 0 for the best, and for what has no
    place in a session.
session_dense, session_words: the best z-score in its session; 0 for what has no place in one.
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

EARLY = {
    "dense": 0.8,
    "words_before": 0.15,
    "words_after": 0.05,
    "beside_dense": 0.5,
    "beside_words": 0.25,
    "session_dense": 0.4,
    "session_words": 0.2,
}
EARLY_WORDS = 3.0
"""Weights that decide which memories are read: of the signals known before, and of BM25 over its
best. They are near the fitted weights, but fixed, so that the training data does not depend on
them."""


@dataclass(frozen=True, slots=True)
class Scores:
    """All of a user's memories, by id, and their distance to a question.

    bm25: Robertson & Zaragoza 2009, k1 = K1, b = B, over the question's lexemes, OR-ed, each
        counted once for a memory: only the best memories have their counts looked up.
    places: the hash of the session, shifted left by 32 bits, plus the ordinal; 0 if unknown.
    rarity: the question's lexemes that occur at all, with their inverse document frequency.
    rarity_sum: the sum over all of them; 1 if there are none.
    """

    ids: Indices
    dense: Floats
    bm25: Floats
    places: Indices
    ordinal_tos: Indices
    instructions: Indices
    rarity: Mapping[str, float]
    rarity_sum: float
    mean_words: float

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Scores":
        """Reads the row of `recall.scores`; empty if the user has no memories."""
        sealed = np.frombuffer(row["sealed"] or b"", _MEMBER)
        given = np.concatenate((_array(row["ids"]), sealed["id"]))
        order = np.argsort(given, kind="stable")
        ids = given[order]
        words = (row["words"] or 0) + int(sealed["words"].sum())
        mean_words = max(words / max(len(ids), 1), 1.0)
        dense = np.zeros(len(ids))
        at, known = _found(ids, _array(row["vector_ids"]))
        dense[at[known]] = 1.0 - _array(row["distances"])[known]
        frequency, holders, matched = _lexical(row, sealed, len(ids), mean_words)
        bm25 = np.zeros(len(ids))
        bm25[_found(ids, holders)[0]] = matched
        rarity = zip(row["lexemes"] or (), frequency.tolist(), strict=True)
        ordinal_tos = np.concatenate((_array(row["ordinal_tos"]), sealed["ordinal_to"]))
        standing = sealed["id"][sealed["instruction"]]
        return cls(
            ids,
            dense,
            bm25,
            np.concatenate((_array(row["places"]), sealed["place"]))[order],
            ordinal_tos[order].astype(np.int64),
            np.concatenate((_array(row["instructions"]), standing)),
            {lexeme: idf for lexeme, idf in rarity if idf},
            float(frequency.sum()) or 1.0,
            mean_words,
        )


def _array(sent: NDArray[Any] | None) -> NDArray[Any]:
    """Replaces NULL, the aggregate over no rows, by an empty array."""
    return np.empty(0, dtype=np.int64) if sent is None else sent


def _found(ids: Indices, looked_for: Indices) -> tuple[Indices, NDArray[np.bool_]]:
    """The index of each id in ascending `ids`, and whether it is there."""
    if not len(ids):
        return np.zeros(len(looked_for), dtype=np.int64), np.zeros(len(looked_for), dtype=bool)
    at = np.minimum(np.searchsorted(ids, looked_for), len(ids) - 1)
    return at, ids[at] == looked_for


def _lexical(
    row: Mapping[str, Any], sealed: NDArray[Any], memories: int, mean_words: float
) -> tuple[Floats, Indices, Floats]:
    """The idf of each lexeme (0 if no memory holds it), the memories that match, and their BM25."""
    matched = _array(row["matched_ids"])
    hits = np.concatenate((_array(row["hit_rows"]), _array(row["sealed_hits"]) + len(matched))) - 1
    terms = np.concatenate((_array(row["hit_terms"]), _array(row["sealed_terms"]))) - 1
    holding = np.bincount(terms, minlength=len(row["lexemes"] or ()))
    idf = np.where(holding, np.log1p((memories - holding + 0.5) / (holding + 0.5)), 0.0)
    words = np.concatenate((_array(row["matched_words"]), sealed["words"]))
    once = (K1 + 1) / (1 + K1 * (1 - B + B * words / mean_words))
    bm25 = once * np.bincount(hits, idf[terms], minlength=len(words))
    holders = np.flatnonzero(bm25)
    return idf, np.concatenate((matched, sealed["id"]))[holders], bm25[holders]


@cache
def shipped_weights() -> Mapping[str, float]:
    """Returns the fitted weight of each signal."""
    path = Path(__file__).with_name("ranking_weights.json")
    weights: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))["weights"]
    return weights


@dataclass(frozen=True, slots=True)
class Pool:
    """The memories to read in full, and the signals that are known before.

    at: indices into the scores, ascending.
    known: those signals, and `place`: the number of episodes before it in the session.
    """

    at: Indices
    known: Mapping[str, Floats]

    def only(self, kept: Sequence[int] | Indices | NDArray[np.bool_]) -> "Pool":
        """Returns some of them."""
        return Pool(self.at[kept], {name: values[kept] for name, values in self.known.items()})


def pool(scores: Scores, question: Question, size: int = POOL, nearest_size: int = NEAREST) -> Pool:
    """Chooses the memories that are likely to rank best, and standing instructions."""
    nearest = np.union1d(_top(scores.dense, nearest_size), _top(scores.bm25, nearest_size))
    if len(scores.instructions):
        most = MOST_INSTRUCTIONS if question.request else FEW_INSTRUCTIONS
        newest = np.sort(scores.instructions)[-most:]
        nearest = np.union1d(nearest, np.searchsorted(scores.ids, newest))
    likely = np.union1d(_top(scores.dense, LIKELY), _top(scores.bm25, LIKELY))
    likely = np.union1d(likely, nearest)
    dense = _z(scores.dense)
    known = {"dense": dense[likely], **_around(scores, likely, dense, _z(scores.bm25))}
    words = scores.bm25[likely] / max(float(scores.bm25.max(initial=0.0)), 1e-6)
    score = EARLY_WORDS * words + sum(weight * known[name] for name, weight in EARLY.items())
    best = np.isin(likely, nearest, assume_unique=True)
    best[_top(score, size)] = True
    return Pool(likely, known).only(best)


def _top(values: Floats, size: int) -> Indices:
    if len(values) <= size:
        return np.arange(len(values))
    return np.argpartition(-values, size)[:size]


def signals(
    question: Question, scores: Scores, chosen: Pool, rows: Sequence[Mapping[str, Any]]
) -> Floats:
    """Returns the signals of the chosen memories, (chosen, SIGNALS); `rows` in their order."""
    helds = [_positions(row["held"]) for row in rows]
    bm25 = np.array([_bm25(row, held, scores) for row, held in zip(rows, helds, strict=True)])
    found: dict[str, Sequence[float] | Floats] = {
        **chosen.known,
        "words": bm25 / max(float(bm25.max(initial=0.0)), 1e-6) - 1.0,
        "opening_broad": question.broad / (1.0 + chosen.known["place"] / 10.0),
    }
    found |= _of_each(question, scores, rows, helds)
    return np.column_stack([found[name] for name in SIGNALS])


def _positions(held: str) -> Positions:
    """Reads the positions of lexemes from the text of a tsvector: `'deploy':3A,9A 'it''s':4A`."""
    if not held:
        return {}
    return {
        lexeme.replace("''", "'").replace("\\\\", "\\"): [int(p) for p in _DIGITS.findall(places)]
        for lexeme, places in _LEXEME.findall(held)
    }


def _of_each(
    question: Question,
    scores: Scores,
    rows: Sequence[Mapping[str, Any]],
    helds: Sequence[Positions],
) -> dict[str, Sequence[float]]:
    """The signals that each memory has by itself."""
    none = [0.0] * len(rows)
    said = [by_assistant(row["payload"]) for row in rows]
    rarity = scores.rarity
    return {
        "speaker": [_speaker(question, row) for row in rows] if question.speaker else none,
        "instruction_request": [_instruction(row) for row in rows] if question.request else none,
        "preference_request": [_preference(row) for row in rows] if question.request else none,
        "date": [question.date_match(row["valid_from"]) for row in rows],
        "phrases": [_phrases(rarity, held) for held in helds],
        "coverage": [sum(rarity.get(x, 0.0) for x in held) / scores.rarity_sum for held in helds],
        "short": [max(0.0, _LOG_SHORT - math.log1p(row["words"])) for row in rows],
        "statement": [float(not turns) for turns in said],
        "assistant": [float(bool(turns) and all(turns)) for turns in said],
    }


def _instruction(row: Mapping[str, Any]) -> float:
    return float(row["attribute"] == INSTRUCTION or row["payload"].get(INSTRUCTION, False))


def _preference(row: Mapping[str, Any]) -> float:
    return float(row["kind"] == PREFERENCE or row["payload"].get(PREFERENCE, False))


def _speaker(question: Question, row: Mapping[str, Any]) -> float:
    turns = turns_of(row["payload"])
    if not turns:
        return 1.0 if row["subject"] == question.speaker else -1.0
    said = sum(t.end - t.start for t in turns)
    theirs = sum(t.end - t.start for t in turns if t.speaker == question.speaker)
    return 2.0 * theirs / max(said, 1) - 1.0


def _phrases(rarity: Mapping[str, float], held: Positions) -> float:
    if len(held) < 2:  # noqa: PLR2004
        return 0.0
    places = {lexeme: set(positions) for lexeme, positions in held.items() if lexeme in rarity}
    return float(
        sum(
            1
            for first, at in places.items()
            for second, other in places.items()
            if first != second and any(p + 1 in other for p in at)
        )
    )


def _bm25(row: Mapping[str, Any], held: Positions, scores: Scores) -> float:
    if not held:
        return 0.0
    norm = K1 * (1 - B + B * row["words"] / scores.mean_words)
    weighed = (
        scores.rarity.get(lexeme, 0.0) * len(at) * (K1 + 1) / (len(at) + norm)
        for lexeme, at in held.items()
    )
    return float(sum(weighed))


AROUND = ("place", *SIGNALS[SIGNALS.index("words_before") : SIGNALS.index("session_words") + 1])
"""The signals that tell where a memory stands in the log, and its place in the session."""


def _around(scores: Scores, chosen: Indices, dense: Floats, words: Floats) -> dict[str, Floats]:
    """The signals that depend on where the chosen memories stand in the log, and their `place`s.

    Episodes of a session follow each other without overlap. A memory within one (a statement from
    it, a reply it opens) has the neighbours of that episode.
    """
    near = _same_sessions(scores, chosen)
    places = scores.places[near]
    leads = _leads(places, places - _ordinals(places) + scores.ordinal_tos[near])
    sessions = places[leads] >> SESSION_BITS
    follows = sessions[1:] == sessions[:-1]
    opening = np.flatnonzero(np.concatenate((np.ones(min(len(leads), 1), dtype=bool), ~follows)))
    session_of = np.repeat(np.arange(len(opening)), np.diff(opening, append=len(leads)))
    led = words[near[leads]]
    before, after = np.zeros((2, len(leads)))
    before[1:] = led[:-1] * follows
    after[:-1] = led[1:] * follows
    best = [np.maximum.reduceat(values[near], leads) for values in (dense, words)]
    of_session = [np.maximum.reduceat(values, opening) for values in best]

    at = np.full(len(scores.ids), -1)
    at[near] = np.arange(len(near))
    placed = np.flatnonzero(at[chosen] >= 0)
    lead = np.searchsorted(leads, at[chosen[placed]], side="right") - 1
    session = session_of[lead]
    found = np.zeros((len(AROUND), len(chosen)))
    found[:, placed] = (
        lead - opening[session],
        before[lead],
        after[lead],
        *(
            values[lead] - own[chosen[placed]]
            for values, own in zip(best, (dense, words), strict=True)
        ),
        *(values[session] for values in of_session),
    )
    return dict(zip(AROUND, found, strict=True))


def _ordinals(places: Indices) -> Indices:
    ordinals: Indices = places & (2**SESSION_BITS - 1)
    return ordinals


def _same_sessions(scores: Scores, chosen: Indices) -> Indices:
    """The memories of the chosen ones' sessions, in the order of their places.

    If several begin at one place, the one that reaches furthest comes first.
    """
    sessions = scores.places >> SESSION_BITS
    near = _among(sessions, np.unique(sessions[chosen]))
    near = near[_ordinals(scores.places[near]) > 0]
    order: Indices = np.lexsort((-scores.ordinal_tos[near], scores.places[near]))
    return near[order]


def _among(values: Indices, wanted: Indices) -> Indices:
    """The indices of those `values` that are in ascending `wanted`.

    It looks each up by its last bits first: most are not wanted.
    """
    marked = np.zeros(1 << MARKED_BITS, dtype=bool)
    marked[wanted & len(marked) - 1] = True
    likely = np.flatnonzero(marked[values & len(marked) - 1])
    found: Indices = likely[_found(wanted, values[likely])[1]]
    return found


def _leads(places: Indices, ends: Indices) -> Indices:
    """Of memories in the order of their places, those that begin after the last lead's end."""
    leads = np.ones(len(places), dtype=bool)
    following = np.searchsorted(places, ends, side="right")
    for at in np.flatnonzero(following > np.arange(1, len(places) + 1)).tolist():
        if leads[at]:
            leads[at + 1 : following[at]] = False
    found: Indices = np.flatnonzero(leads)
    return found


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
    """Returns one score for each row of `table`: the weighted sum of its signals."""
    weights = shipped_weights() if weights is None else weights
    scores = np.asarray(table @ np.array([weights.get(name, 0.0) for name in SIGNALS]))
    return _spread(scores, sessions) if question.broad else scores


def ranked(
    scores: Floats, cited: Sequence[frozenset[str]], table: Floats
) -> tuple[list[int], Floats]:
    """Returns the rows from best to worst that each cite something new, and the scores of `lent`.

    Rows are ordered by those scores. Statements that lent theirs are left out.
    """
    shared, absorbed = lent(scores, cited, table)
    seen: set[str] = set()
    kept: list[int] = []
    for n in np.argsort(-shared, kind="stable").tolist():
        if n not in absorbed and not (cited[n] and seen.issuperset(cited[n])):
            seen |= cited[n]
            kept.append(n)
    return kept, shared


def lent(
    scores: Floats, cited: Sequence[frozenset[str]], table: Floats
) -> tuple[Floats, frozenset[int]]:
    """Lends the scores of statements to their episodes; also returns which statements lent theirs.

    A statement and the episode it was read from say the same. Unless the statement is clearly
    better it lends the episode its score, since the episode also holds the words around it.
    """
    shared = scores.copy()
    statement = table[:, SIGNALS.index("statement")] > 0
    source = _sources(cited, statement)
    absorbed: set[int] = set()
    for n in np.flatnonzero(statement).tolist():
        episode = source.get(min(cited[n])) if len(cited[n]) == 1 else None
        if episode is not None and scores[n] < scores[episode] + CLEARLY_BETTER:
            absorbed.add(n)
            shared[episode] = max(shared[episode], scores[n])
    return shared, frozenset(absorbed)


def _sources(cited: Sequence[frozenset[str]], statement: NDArray[np.bool_]) -> dict[str, int]:
    """For each interaction the longest episode that cites it."""
    source: dict[str, int] = {}
    for n in sorted(np.flatnonzero(~statement).tolist(), key=lambda n: len(cited[n])):
        source.update(dict.fromkeys(cited[n], n))
    return source


def _spread(scores: Floats, sessions: Sequence[str | None]) -> Floats:
    heard: dict[str | None, int] = {}
    spread = scores.copy()
    for n in np.argsort(-scores, kind="stable"):
        spread[n] -= SPREAD * heard.get(sessions[n], 0)
        heard[sessions[n]] = heard.get(sessions[n], 0) + 1
    return spread
