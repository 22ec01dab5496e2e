"""The query cache: embeds a repeated question once."""

from collections import OrderedDict

from memory.embedding.protocol import Embedder, Vectors

QUERY_CACHE_SIZE = 1_024
"""Queries whose vectors are kept."""


class QueryCache:
    """Keeps the vectors of the last `size` different queries.

    For one event loop. Two callers that miss the same query at once both compute it.
    """

    def __init__(self, embedder: Embedder, size: int = QUERY_CACHE_SIZE) -> None:
        self._embedder = embedder
        self._size = size
        self._vectors: OrderedDict[str, Vectors] = OrderedDict()

    async def embed_query(self, text: str) -> Vectors:
        """Returns the vector of one text, float32 (dimensions,), read-only; raises as `embed`."""
        vector = self._vectors.get(text)
        if vector is None:
            vector = (await self._embedder.embed([text]))[0]
            vector.flags.writeable = False
            self._vectors[text] = vector
            if len(self._vectors) > self._size:
                self._vectors.popitem(last=False)
        self._vectors.move_to_end(text)
        return vector
