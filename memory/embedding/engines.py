"""The engines by the names that `MEMORY_EMBEDDER` takes."""

from memory.embedding.fastembed import FastembedEmbedder
from memory.embedding.minilm import MiniLM
from memory.embedding.openai import OpenAIEmbedder
from memory.embedding.protocol import Embedder
from memory.errors import ConfigurationError
from memory.settings import Settings


def create_embedder(settings: Settings) -> Embedder:
    """The engine that `settings.embedder` names; models are loaded at first use.

    Raises:
        ConfigurationError: no such engine, or its dimensions have to be said.
        MissingDependency: the extra it needs is not installed.
        MissingEmbeddingModel: the packaged model is not installed, or fastembed has no such one.
    """
    engine, _, model = settings.embedder.partition(":")
    if settings.embedder == "packaged":
        return MiniLM(settings.cache_dir, settings.embedding_threads)
    if engine == "fastembed" and model:
        return FastembedEmbedder(model, settings)
    if engine == "openai" and model:
        return OpenAIEmbedder(model, settings)
    raise ConfigurationError(
        f"unknown embedder {settings.embedder!r}: packaged, fastembed:<model> or"
        " openai:<model>[@<dimensions>]"
    )
