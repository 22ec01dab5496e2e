"""The embedding engine for models of the `fastembed` package."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from anyio import CapacityLimiter, to_thread

from memory.embedding.protocol import MAX_BATCH, Vectors, unit_rows
from memory.errors import MissingEmbeddingModel
from memory.optional import extra
from memory.settings import Settings


class FastembedEmbedder:
    """Any text model of the `fastembed` package, fetched from its hub at first use."""

    def __init__(self, model: str, settings: Settings) -> None:
        with extra("fastembed"):
            from fastembed import TextEmbedding
        try:
            self.dimensions = int(TextEmbedding.get_embedding_size(model))
        except ValueError as error:
            raise MissingEmbeddingModel(
                f"fastembed has no model {model!r}; fastembed.TextEmbedding"
                ".list_supported_models() lists them"
            ) from error
        self.name = f"fastembed:{model}"
        self._model = model
        self._settings = settings
        self._engine: Any = None
        # One run at a time: the engine spreads a batch over its own threads.
        self._limiter = CapacityLimiter(1)

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Embeds as `Embedder.embed`, sorted by length so that batches need little padding."""
        if not texts:
            return np.empty((0, self.dimensions), np.float32)
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        rows = np.empty((len(texts), self.dimensions), np.float32)
        for start in range(0, len(order), MAX_BATCH):
            batch = order[start : start + MAX_BATCH]
            found = await to_thread.run_sync(
                self._run, [texts[i] for i in batch], limiter=self._limiter
            )
            rows[batch] = unit_rows(found, len(batch), self)
        return rows

    async def aclose(self) -> None:
        """Does nothing: only memory is held."""

    def _run(self, texts: list[str]) -> list[Any]:
        if self._engine is None:
            self._engine = self._load()
        return list(self._engine.embed(texts, batch_size=32))

    def _load(self) -> Any:
        from fastembed import TextEmbedding

        try:
            return TextEmbedding(
                self._model,
                cache_dir=str(self._settings.cache_dir / "fastembed"),
                threads=self._settings.embedding_threads,
            )
        except (ValueError, OSError) as error:
            raise MissingEmbeddingModel(
                f"fastembed could not load {self._model!r} ({error}); it needs the network once,"
                f" or the model in {str(self._settings.cache_dir / 'fastembed')!r}"
            ) from error
