"""Texts to vectors: the `Embedder` protocol, its engines, and the cache in front of queries."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from anyio import CapacityLimiter, to_thread
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ValidationError

from memory.embedding.minilm import MiniLM
from memory.errors import (
    ConfigurationError,
    EmbeddingFailed,
    MissingEmbeddingModel,
    WrongDimension,
)
from memory.optional import extra
from memory.settings import Settings

Vectors = NDArray[np.float32]

QUERY_CACHE_SIZE = 1_024
# Texts in one request: bounded so that a slow endpoint answers within its own time limit.
REQUEST_SIZE = 128
# Under the 8,192 tokens that endpoints usually take, in any script.
REQUEST_CHARACTERS = 8_000
OPENAI_DIMENSIONS = {
    "text-embedding-3-small": 1_536,
    "text-embedding-3-large": 3_072,
    "text-embedding-ada-002": 1_536,
}


class Embedder(Protocol):
    """Makes vectors whose inner product says how near two texts are in meaning.

    `name` identifies what made a vector and changes whenever vectors would: the store keeps it
    beside them and never compares vectors of two names.
    """

    @property
    def name(self) -> str:
        """What made the vectors."""
        ...

    @property
    def dimensions(self) -> int:
        """Numbers in a vector."""
        ...

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """One unit vector a text, float32 (n, dimensions), in the order of `texts`.

        Never blocks the event loop; calls may overlap.

        Raises:
            EmbeddingFailed: the engine did not answer; the same call may succeed later.
            WrongDimension: it answered with vectors of another size than it declares.
            MissingEmbeddingModel: the model cannot be loaded.
        """
        ...

    async def aclose(self) -> None:
        """Lets go of connections; may be called more than once."""
        ...


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


class QueryCache:
    """Keeps the vectors of the last `size` different queries.

    For one event loop. Two callers who miss the same query at once both compute it.
    """

    def __init__(self, embedder: Embedder, size: int = QUERY_CACHE_SIZE) -> None:
        self._embedder = embedder
        self._size = size
        self._vectors: OrderedDict[str, Vectors] = OrderedDict()

    async def embed_query(self, text: str) -> Vectors:
        """The vector of one text, float32 (dimensions,), read-only; raises as `embed` does."""
        vector = self._vectors.get(text)
        if vector is None:
            vector = (await self._embedder.embed([text]))[0]
            vector.flags.writeable = False
            self._vectors[text] = vector
            if len(self._vectors) > self._size:
                self._vectors.popitem(last=False)
        self._vectors.move_to_end(text)
        return vector


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
        """As `Embedder.embed`; sorted by length, so that little of a batch is padding."""
        if not texts:
            return np.empty((0, self.dimensions), np.float32)
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        rows = np.empty((len(texts), self.dimensions), np.float32)
        for start in range(0, len(order), REQUEST_SIZE):
            batch = order[start : start + REQUEST_SIZE]
            found = await to_thread.run_sync(
                self._run, [texts[i] for i in batch], limiter=self._limiter
            )
            rows[batch] = unit_rows(found, len(batch), self)
        return rows

    async def aclose(self) -> None:
        """Nothing is held but memory."""

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


class _Row(BaseModel):
    index: int
    embedding: list[float]


class _Answer(BaseModel):
    """What is read of an endpoint's answer; servers differ in the rest."""

    data: list[_Row]


class OpenAIEmbedder:
    """Any endpoint that speaks OpenAI's embeddings API.

    `model` is `<model>` or `<model>@<dimensions>`; the dimensions may be left out for OpenAI's
    own models. An endpoint that answers with another size is asked for this one explicitly.
    A text counts up to its first 8,000 characters.
    """

    def __init__(self, model: str, settings: Settings) -> None:
        with extra("openai"):
            import openai
        self._model, self.dimensions = _model_and_dimensions(model)
        self.name = f"openai:{self._model}@{self.dimensions}"
        key = settings.openai_api_key
        try:
            self._client = openai.AsyncOpenAI(
                api_key=key.get_secret_value() if key else None, base_url=settings.openai_base_url
            )
        except openai.OpenAIError as error:
            raise ConfigurationError(
                f"{settings.embedder!r} needs a key; set MEMORY_OPENAI_API_KEY (any value, for"
                " an endpoint without keys)"
            ) from error
        self._size_asked = False

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """As `Embedder.embed`, in requests of at most 128 texts.

        Raises:
            ConfigurationError: the endpoint refuses the key or does not know the model.
        """
        batches = [texts[i : i + REQUEST_SIZE] for i in range(0, len(texts), REQUEST_SIZE)]
        empty = np.empty((0, self.dimensions), np.float32)
        return np.concatenate([empty, *[await self._embed_batch(batch) for batch in batches]])

    async def aclose(self) -> None:
        """Closes the connections; the embedder cannot be used afterwards."""
        await self._client.close()

    async def _embed_batch(self, texts: Sequence[str]) -> Vectors:
        # The API refuses an empty text.
        sent = [text[:REQUEST_CHARACTERS] or " " for text in texts]
        rows = await self._request(sent)
        if not self._size_asked and len(rows[0]) != self.dimensions:
            # Not asked at once: servers refuse the parameter for models of one fixed size.
            self._size_asked = True
            rows = await self._request(sent)
        return unit_rows(rows, len(texts), self)

    async def _request(self, texts: list[str]) -> list[list[float]]:
        import openai

        size = self.dimensions if self._size_asked else openai.omit
        try:
            response = await self._client.embeddings.with_raw_response.create(
                input=texts, model=self._model, dimensions=size, encoding_format="float"
            )
            answer = _Answer.model_validate_json(response.content)
        except (
            openai.AuthenticationError,
            openai.PermissionDeniedError,
            openai.NotFoundError,
        ) as error:
            raise ConfigurationError(
                f"the endpoint of {self.name!r} refuses: {error}; see MEMORY_OPENAI_API_KEY,"
                " MEMORY_OPENAI_BASE_URL and MEMORY_EMBEDDER"
            ) from error
        except (openai.OpenAIError, ValidationError) as error:
            raise EmbeddingFailed(f"{self.name!r} did not embed: {error}") from error
        if len(answer.data) != len(texts):
            raise EmbeddingFailed(
                f"{self.name!r} answered {len(answer.data)} vectors for {len(texts)} texts"
            )
        return [item.embedding for item in sorted(answer.data, key=lambda item: item.index)]


def _model_and_dimensions(spec: str) -> tuple[str, int]:
    model, _, dimensions = spec.rpartition("@")
    if model and dimensions.isdecimal() and int(dimensions) > 0:
        return model, int(dimensions)
    if spec in OPENAI_DIMENSIONS:
        return spec, OPENAI_DIMENSIONS[spec]
    raise ConfigurationError(
        f"how many dimensions has {spec!r}? say it as openai:{spec}@<dimensions>"
    )


def unit_rows(rows: Sequence[ArrayLike], count: int, embedder: Embedder) -> Vectors:
    """`rows` as float32 (count, dimensions), each scaled to length 1.

    Raises:
        WrongDimension: a row is not of the embedder's size.
        EmbeddingFailed: other than `count` rows, or numbers that are not finite.
    """
    for row in rows:
        if np.shape(row) != (embedder.dimensions,):
            raise WrongDimension(
                f"{embedder.name!r} answered a vector of shape {np.shape(row)!r},"
                f" expected {embedder.dimensions!r} numbers"
            )
    vectors = np.asarray(rows, np.float64)
    if len(rows) != count or not np.isfinite(vectors).all():
        raise EmbeddingFailed(f"{embedder.name!r} answered {len(rows)} rows, not all finite")
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Vectors = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    return unit
