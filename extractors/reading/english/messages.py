"""Reads one message into claims: the order in which sentences, clauses and patterns are tried."""

import re
from collections.abc import Iterator
from dataclasses import replace

from extractors.reading.english.changes import CHANGES
from extractors.reading.english.claims import Claim, Found, Said
from extractors.reading.english.clauses import Clause, clauses
from extractors.reading.english.everyday import everyday
from extractors.reading.english.frames import own_part
from extractors.reading.english.grammar import read_verb, without_ended
from extractors.reading.english.identity import IDENTITY
from extractors.reading.english.instructions import generally, instructions
from extractors.reading.english.measures import measures
from extractors.reading.english.own_words import (
    Sentence,
    own_words,
    sentences,
    straightened,
)
from extractors.reading.english.patterns import related
from extractors.reading.english.plans import PLANS
from extractors.reading.english.remarks import of_the_moment, remarks
from extractors.reading.english.repair import repaired
from extractors.reading.english.tastes import TASTES, can, rather

_TABLES = (TASTES, PLANS, IDENTITY, CHANGES)
_ALSO_EVERYDAY = frozenset(("choose", "prepare", "look", "enjoy", "love"))
_BEFORE = 120  # characters in front of a clause that may say how it is meant
_WHOLLY_READ = frozenset(verb for table in _TABLES for verb in table) - _ALSO_EVERYDAY
"""Verbs whose other uses are not worth remembering."""
_INTRODUCING = frozenset({"meet", "adopt", "discover"})
_INTRODUCED = re.compile(r"\Athis(?=\s(?P<next>\w))", re.IGNORECASE)
"""In "I met this producer" the word is an article."""


def read(content: str, actor: str | None) -> Iterator[Found]:
    """Yields the claims of the author of `content`, in the order of the text.

    Offsets are those of `content`. The same claim is made once for each place that makes it.
    """
    for _, found in read_sentences(content, actor):
        yield from found


def read_sentences(content: str, actor: str | None) -> Iterator[tuple[Sentence, list[Found]]]:
    """Yields the author's own sentences, each with its claims and remarks."""
    written = repaired(straightened(content))
    own = own_words(own_part(written))
    standing = generally(own)
    for sentence in sentences(own):
        yield sentence, list(_read_sentence(sentence, written, actor, standing))


def _read_sentence(
    sentence: Sentence, content: str, actor: str | None, standing: bool
) -> Iterator[Found]:
    written = content[sentence.start : sentence.end]
    told = list(instructions(sentence.text, written, actor, asks=sentence.asks, standing=standing))
    if not told:
        told = list(measures(sentence.text, written, actor))
        for clause in clauses(sentence):
            start, end = clause.start - sentence.start, clause.end - sentence.start
            told += [Found(c, start, end) for c in _read_clause(clause, content, actor)]
        told = [
            f
            for f in told
            if not (f.claim.attribute.startswith("doing.") and of_the_moment(sentence.text))
        ]
        told += remarks(sentence, written, told, actor)
    seen = set()
    for found in sorted(told, key=lambda f: f.start):
        key = (found.claim.attribute, found.claim.value, found.claim.stance)
        if key not in seen:
            seen.add(key)
            yield replace(found, start=sentence.start + found.start, end=sentence.start + found.end)


def _read_clause(clause: Clause, content: str, actor: str | None) -> Iterator[Claim]:
    group = read_verb(clause.core)
    if group is None:
        return
    start = clause.start + clause.subject + group.rest_start
    written = without_ended(content[start : start + len(group.rest)])
    if group.verb in _INTRODUCING:
        written = _INTRODUCED.sub(_article, written)
        group = replace(group, rest=_INTRODUCED.sub(_article, group.rest))
    before = content[max(0, clause.start - _BEFORE) : clause.start]
    said = Said(group, group.rest, written, clause.front, actor, clause.core, before)
    by_verb = (table.get(group.verb) for table in _TABLES)
    for reader in (rather, related, *by_verb, can, everyday):
        if reader is None or (reader is everyday and group.verb in _WHOLLY_READ):
            continue
        claims = list(reader(said))
        if claims:
            yield from claims
            return


def _article(match: re.Match[str]) -> str:
    return ("an" if match["next"].lower() in "aeiou" else "a").ljust(len("this"))
