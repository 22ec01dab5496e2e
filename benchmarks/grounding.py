"""How much of what a quote does not say is refused, and how much of what it does is kept.

    python -m benchmarks.grounding --data locomo10.json [--seed 1] [--json]

What LoCoMo's annotators noted of a turn is claimed of it, with the whole turn as the quote:
`noted`. Then the same with something wrong: of another turn of the same speaker, in another session
(`another turn`); with its first number changed, with a "not" put behind its first verb, and with
the other speaker's name in front, where it has a number, such a verb, or the speaker's name there.
Changed notes are only made of those that are kept unchanged. The annotators looked at whole
conversations: some of their notes are not borne out by the turn they name, and some of another turn
happen to be true of it.

For each kind: `claims`, how many `word` keeps, the rule that a quote has to stand in its turn and
share a word of meaning with the claim, how many `all` rules keep, and for what reasons they refuse.
"""

import argparse
import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.datasets import DataSet, load
from benchmarks.recorded import noted
from extractors.language_model.extractor import CHUNK, LOOK_BACK, Reader
from extractors.language_model.grounding import Refused, ShownTurns, grounded
from extractors.prompts.answers import Extracted, Proposal, Quote
from memory.models import Interaction, Provenance

NUMBER = re.compile(r"\b(?:two|three|four|five|six|seven|eight|nine|ten|\d+)\b")
VERBS = {
    "is": "is not", "was": "was not", "has": "has not", "had": "had not", "can": "can not",
    "will": "will not", "likes": "does not like", "loves": "does not love",
    "enjoys": "does not enjoy", "plans": "does not plan", "wants": "does not want",
    "feels": "does not feel", "runs": "does not run", "owns": "does not own",
}  # fmt: skip
MADE = Provenance("language_model", "1")


@dataclass(frozen=True, slots=True)
class Note:
    """What was noted of a turn, and the turns that a model would be shown with it."""

    text: str
    turn: Interaction
    shown: ShownTurns

    @property
    def speaker(self) -> str:
        """Who said it."""
        return self.turn.actor or ""

    @property
    def other(self) -> str:
        """Who else speaks."""
        actors = {turn.actor for turn in self.shown.turns.values() if turn.actor}
        return min(actors - {self.speaker}, default="")

    def number(self) -> int:
        """The turn's number among those shown."""
        return next(n for n, turn in self.shown.turns.items() if turn is self.turn)


@dataclass(slots=True)
class Kept:
    """Of one kind of claims, how many are kept by each rule."""

    claims: int = 0
    word: int = 0
    all: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def add(self, text: str, note: Note) -> bool:
        """Claims `text` of the note's turn; whether all rules keep it."""
        quote = Quote(turn=note.number(), words=note.turn.content)
        claim = Proposal(
            text=text, quotes=[quote], attribute=None, value=None, single_valued=False,
            tense="past", when=None, ends=[],
        )  # fmt: skip
        reader = Reader(note.shown, [], MADE)
        kept = bool(
            list(reader.candidates(Extracted(facts=[claim], preferences=[], procedures=[])))
        )
        self.claims += 1
        self.word += not isinstance(grounded(note.shown, text, [quote]), Refused)
        self.all += kept
        self.refused += reader.refused
        return kept

    def json(self) -> dict[str, Any]:
        """As the report has it."""
        return {
            "claims": self.claims, "word": self.word, "all": self.all,
            "refused": dict(self.refused.most_common()),
        }  # fmt: skip


def notes(data: DataSet) -> list[Note]:
    """What was noted of each turn, shown as the language model is."""
    facts = noted(data)
    sessions: dict[tuple[str, str | None], list[Interaction]] = defaultdict(list)
    for placed in data.interactions():
        said = placed.interaction
        sessions[said.scope.user, said.scope.session].append(said)
    return [
        Note(text, turn, _shown(turns, at))
        for turns in sessions.values()
        for at, turn in enumerate(turns)
        for text in facts.get(turn.id, ())
    ]


def _shown(turns: list[Interaction], at: int) -> ShownTurns:
    start = at - at % CHUNK
    before = turns[max(0, start - LOOK_BACK) : start]
    return ShownTurns(dict(enumerate([*before, *turns[start : start + CHUNK]], 1)), len(before))


def measured(data: DataSet, seed: int) -> dict[str, Kept]:
    """Each kind of claims; see above."""
    drawn = random.Random(seed)
    found: dict[str, Kept] = defaultdict(Kept)
    every = notes(data)
    spoken: dict[tuple[str, str], list[Note]] = defaultdict(list)
    for note in every:
        spoken[note.turn.scope.user, note.speaker].append(note)
    for note in every:
        if found["noted"].add(note.text, note):
            for kind, text in changed(note):
                found[kind].add(text, note)
        elsewhere = drawn.choice(spoken[note.turn.scope.user, note.speaker])
        if elsewhere.turn.scope.session != note.turn.scope.session:
            found["another turn"].add(note.text, elsewhere)
    return found


def changed(note: Note) -> Iterator[tuple[str, str]]:
    """The note with something wrong, and what."""
    if NUMBER.search(note.text):
        yield "number changed", NUMBER.sub(_more, note.text, count=1)
    verb = re.match(rf"{re.escape(note.speaker)} ({'|'.join(VERBS)})\b", note.text)
    if verb:
        yield "not put in", note.text[: verb.start(1)] + VERBS[verb[1]] + note.text[verb.end(1) :]
    if note.text.startswith(f"{note.speaker} ") and note.other and note.other not in note.text:
        yield "other speaker", note.other + note.text[len(note.speaker) :]


def _more(number: re.Match[str]) -> str:
    if number[0].isdigit():
        return str(int(number[0]) + 3)
    return "nine" if number[0] == "two" else "two"


def main() -> None:
    """Parses the command line and prints the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = measured(load("locomo", args.data), args.seed)
    if args.json:
        print(json.dumps({kind: kept.json() for kind, kept in found.items()}, indent=2))
        return
    print(f"{'':16}{'claims':>8}{'word':>8}{'all':>8}")
    for kind, kept in found.items():
        reasons = ", ".join(f"{n} {reason}" for reason, n in kept.refused.most_common())
        print(f"{kind:16}{kept.claims:>8}{kept.word:>8}{kept.all:>8}  {reasons}")


if __name__ == "__main__":
    main()
