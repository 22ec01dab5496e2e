"""Embeds texts: the `Embedder` protocol, its engines, and the cache for queries.

May import the vocabulary, `settings` and `optional`; it knows no database.
Must never download a model: an engine that lacks its model says how to get it.
"""

from memory.embedding.cache import QueryCache
from memory.embedding.engines import create_embedder
from memory.embedding.fastembed import FastembedEmbedder
from memory.embedding.openai import OpenAIEmbedder
from memory.embedding.protocol import Embedder, Vectors, unit_rows

__all__ = [
    "Embedder",
    "FastembedEmbedder",
    "OpenAIEmbedder",
    "QueryCache",
    "Vectors",
    "create_embedder",
    "unit_rows",
]
