"""Texts to vectors: the `Embedder` protocol, its engines, and the cache in front of queries.

May import the vocabulary, `settings` and `optional`; it knows no database.
Must never download a model: an engine that lacks its model says how to get it.
"""

from memory.embedding.engines import (
    Embedder,
    FastembedEmbedder,
    OpenAIEmbedder,
    QueryCache,
    Vectors,
    create_embedder,
    unit_rows,
)

__all__ = [
    "Embedder",
    "FastembedEmbedder",
    "OpenAIEmbedder",
    "QueryCache",
    "Vectors",
    "create_embedder",
    "unit_rows",
]
