"""The recall benchmark's oracle: what annotators noted, answered as a language model would."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.datasets import load
from benchmarks.recorded import recorded
from consumers.extraction import Worker
from consumers.importing.importer import import_interactions
from extractors.language_model.extractor import create
from memory.client import AsyncMemoryClient
from memory.database import Database, DatabaseRole
from memory.models import Scope
from memory.settings import Settings
from tests.conftest import WordEmbedder


def a_conversation(name: str, said: list[str], noted: dict[str, Any]) -> dict[str, Any]:
    """One conversation of Rosa's and Piet's in LoCoMo's form; `noted` has facts by dialog id."""
    turns = [
        {"speaker": ("Rosa", "Piet")[n % 2], "dia_id": f"D1:{n + 1}", "text": text}
        for n, text in enumerate(said)
    ]
    conversation = {"speaker_a": "Rosa", "speaker_b": "Piet", "session_1": turns}
    conversation["session_1_date_time"] = "12:09 am on 8 May, 2023"
    observed = {"Rosa": [[text, dialogs] for text, dialogs in noted.items()]}
    observation = {"session_1_observation": observed}
    return {
        "sample_id": name, "conversation": conversation, "observation": observation, "qa": [],
    }  # fmt: skip


@pytest.mark.anyio
async def test_what_annotators_noted_becomes_memories_of_the_turns_they_named(
    tmp_path: Path,
    settings: Settings,
    url: str,
    embedder: WordEmbedder,
    async_client: AsyncMemoryClient,
) -> None:
    path = tmp_path / "locomo.json"
    path.write_text(
        json.dumps(
            [
                a_conversation(
                    "conv-1",
                    ["I bake rye bread on Sundays", "Lovely", "My oven is from Utrecht"],
                    {"Rosa bakes rye bread": "D1:1", "Rosa's oven is from Utrecht": ["D1:3"]},
                ),
                a_conversation(
                    "conv-2", ["I sail to Texel", "Alone?"], {"Rosa sails to Texel": "D1:1"}
                ),
            ]
        )
    )
    data = load("locomo", path)
    with recorded(data) as server:
        model = {"model": "openai:recorded", "openai_base_url": server}
        asking = Settings.model_validate({**settings.model_dump(), **model})
        extractor = create(asking)
        assert extractor is not None
        await import_interactions(async_client, data.interactions())
        async with Database(asking, url, DatabaseRole.WORKER) as database:
            await Worker(database, embedder, [extractor], asking).drain()
        await extractor.aclose()
    sources = {}
    for user in ("conv-1", "conv-2"):
        for memory in await async_client.history(Scope("benchmark", user)):
            explained = await async_client.explain(Scope("benchmark", user), memory.id)
            sources[memory.text] = [e.interaction_id for e in explained.evidence]
            assert memory.provenance.model == "recorded"
    assert sources == {
        "Rosa bakes rye bread": ["conv-1:D1:1"],
        "Rosa's oven is from Utrecht": ["conv-1:D1:3"],
        "Rosa sails to Texel": ["conv-2:D1:1"],
    }
