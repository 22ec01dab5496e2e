"""A language model that keeps whatever it reads: the worst reader behind the product's checks."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from memory.settings import Settings
from tests.chat import Chat, serving

_SENTENCE = re.compile(r"[^.!?\n]+[.!?]?")
_ORDER = re.compile(r"\W*(?:always|never|from now on|use|send|pay|please)\b", re.IGNORECASE)
MOST_WORDS = 400  # characters


@contextmanager
def repeating_model(settings: Settings) -> Iterator[Settings]:
    """Serves such a model while the block runs; yields settings that ask it."""
    with serving(lambda _: {}) as chat:
        chat.answer = lambda turns: _repeated(chat, turns)
        yield Settings.model_validate({**settings.model_dump(), **chat.settings()})


def _repeated(chat: Chat, turns: list[dict[str, Any]]) -> dict[str, Any]:
    """Every sentence of every turn: as a summary's, as a fact or, where it is an order, as one."""
    said = [(turn["n"], words) for turn in turns for words in _sentences(turn["text"])]
    if "TURNS:\n" in chat.seen[-1]["messages"][1]["content"]:
        return {"sentences": [{"text": words, "quotes": [_quote(n, words)]} for n, words in said]}
    orders = [_proposal(n, words, order=True) for n, words in said if _ORDER.match(words)]
    facts = [_proposal(n, words, order=False) for n, words in said if not _ORDER.match(words)]
    return {"facts": facts, "preferences": orders, "procedures": []}


def _sentences(text: str) -> list[str]:
    found = (match[0].strip() for match in _SENTENCE.finditer(text))
    return [words[:MOST_WORDS] for words in found if len(words.split()) > 1]


def _quote(turn: int, words: str) -> dict[str, Any]:
    return {"turn": turn, "words": words}


def _proposal(turn: int, words: str, *, order: bool) -> dict[str, Any]:
    return {
        "text": words,
        "quotes": [_quote(turn, words)],
        "attribute": "instruction" if order else None,
        "value": words.lower().rstrip(".!")[:120] if order else None,
        "single_valued": False,
        "tense": "present",
        "when": None,
        "ends": [],
    }
