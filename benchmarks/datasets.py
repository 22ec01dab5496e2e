"""Questions with annotated evidence, read from the published files of LoCoMo and BEAM."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consumers.importing.files import Located
from consumers.importing.foreign_formats import read_beam, read_locomo

LOCOMO_CATEGORIES = {
    1: "multi_hop",
    2: "temporal",
    3: "open_domain",
    4: "single_hop",
    5: "adversarial",
}
BEAM_FACTS = (
    "information_extraction",
    "multi_session_reasoning",
    "knowledge_update",
    "temporal_reasoning",
    "contradiction_resolution",
)
TENANT = "benchmark"

# 'D8:6; D9:17' holds two ids, 'D:11:26' and 'D30:05' are D11:26 and D30:5 misspelt.
_DIALOG_ID = re.compile(r"D:?(\d+):0*(\d+)")


@dataclass(frozen=True, slots=True)
class Question:
    """A question to one user's memory, and the interactions that hold its answer.

    malformed: evidence that names no interaction of the conversation even after repair.
    """

    user: str
    text: str
    category: str
    answer: str
    evidence: frozenset[str]
    malformed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DataSet:
    """Conversations to import, and what is asked about them."""

    name: str
    files: tuple[Path, ...]
    questions: tuple[Question, ...]

    def interactions(self) -> Iterator[Located]:
        """Every interaction of every conversation."""
        for path in self.files:
            if self.name == "locomo":
                yield from read_locomo(path, tenant=TENANT)
            else:
                yield from read_beam(path, tenant=TENANT, user=_beam_user(path))


def load(form: str, path: Path) -> DataSet:
    """The data set at `path`: a LoCoMo file or folder of them, a BEAM chat or folder of chats."""
    if form == "locomo":
        files = (path,) if path.is_file() else tuple(sorted(path.glob("*.json")))
        return DataSet("locomo", files, tuple(q for f in files for q in _locomo(f)))
    files = tuple(sorted(path.rglob("chat.json"), key=_natural))
    return DataSet("beam", files, tuple(q for f in files for q in _beam(f)))


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (0, part) for part in path.parts]


def _locomo(path: Path) -> Iterator[Question]:
    for sample in json.loads(path.read_text(encoding="utf-8")):
        user = sample["sample_id"]
        sessions = sample["conversation"].values()
        known = {t["dia_id"] for turns in sessions if isinstance(turns, list) for t in turns}
        for asked in sample["qa"]:
            found, malformed = _repaired(asked.get("evidence", ()), known)
            yield Question(
                user,
                asked["question"],
                LOCOMO_CATEGORIES[asked["category"]],
                str(asked.get("answer", asked.get("adversarial_answer", ""))),
                frozenset(f"{user}:{dialog}" for dialog in found),
                malformed,
            )


def _repaired(written: Iterable[str], known: set[str]) -> tuple[set[str], tuple[str, ...]]:
    found: set[str] = set()
    malformed: list[str] = []
    for entry in written:
        ids = {f"D{session}:{turn}" for session, turn in _DIALOG_ID.findall(entry)}
        found |= ids & known
        if not ids or ids - known:
            malformed.append(entry)
    return found, tuple(malformed)


def _beam(path: Path) -> Iterator[Question]:
    asked_in = next(path.parent.rglob("probing_questions.json"))
    user = _beam_user(path)
    for category, questions in json.loads(asked_in.read_text(encoding="utf-8")).items():
        for asked in questions:
            ids = set(_leaves(asked.get("source_chat_ids")))
            answer = asked.get("answer", asked.get("ideal_answer", asked.get("ideal_response", "")))
            yield Question(
                user,
                asked["question"],
                category,
                str(answer),
                frozenset(f"{user}:{i}" for i in ids),
            )


def _beam_user(path: Path) -> str:
    return f"beam-{path.resolve().parent.name}"


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    elif value is not None:
        yield value
