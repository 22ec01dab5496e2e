"""Creates the embedding engine that `MEMORY_EMBEDDER` names."""

from memory.embedding.fastembed import FastembedEmbedder
from memory.embedding.minilm import MiniLM
from memory.embedding.openai import OpenAIEmbedder
from memory.embedding.protocol import Embedder
from memory.errors import ConfigurationError
from memory.settings import Settings, settings_of


def create_embedder(settings: Settings) -> Embedder:
    """Creates the engine that `settings.embedder` names; it loads its model at first use.

    Raises:
        InvalidInput: `settings` are none.
        ConfigurationError: there is no such engine, or its dimensions are missing from the name.
        MissingDependency: the extra it needs is not installed.
        MissingEmbeddingModel: the packaged model is not installed, or fastembed has no such model.
    """
    settings = settings_of(settings)
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
