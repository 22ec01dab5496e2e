"""The embedding engine for endpoints that serve OpenAI's embeddings API."""

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ValidationError

from memory import secret_files
from memory.embedding.protocol import MAX_BATCH, Vectors, unit_rows
from memory.errors import ConfigurationError, EmbeddingFailed
from memory.optional import extra
from memory.settings import Settings

MAX_CHARACTERS = 8_000
"""The characters of a text that are sent: under the usual limit of 8,192 tokens in any script."""

OPENAI_DIMENSIONS = {
    "text-embedding-3-small": 1_536,
    "text-embedding-3-large": 3_072,
    "text-embedding-ada-002": 1_536,
}


class _Row(BaseModel):
    index: int
    embedding: list[float]


class _Answer(BaseModel):
    """The part of an endpoint's answer that is read; servers differ in the rest."""

    data: list[_Row]


class OpenAIEmbedder:
    """Any endpoint that serves OpenAI's embeddings API.

    `model` is `<model>` or `<model>@<dimensions>`; the dimensions may be left out for OpenAI's own
    models. If an endpoint answers with another size, it is asked for this one explicitly. Only the
    first 8,000 characters of a text count.
    """

    def __init__(self, model: str, settings: Settings) -> None:
        with extra("openai"):
            import openai
        self._model, self.dimensions = _model_and_dimensions(model)
        self.name = f"openai:{self._model}@{self.dimensions}"
        self._settings = settings
        try:
            self._client = openai.AsyncOpenAI(
                api_key=secret_files.openai_api_key(settings), base_url=settings.openai_base_url
            )
        except openai.OpenAIError as error:
            raise ConfigurationError(
                f"{settings.embedder!r} needs a key; set MEMORY_OPENAI_API_KEY (any value, for"
                " an endpoint without keys)"
            ) from error
        self._size_asked = False

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Embeds as `Embedder.embed`, in requests of at most 128 texts.

        Raises:
            ConfigurationError: the endpoint refuses the key or does not know the model.
        """
        batches = [texts[i : i + MAX_BATCH] for i in range(0, len(texts), MAX_BATCH)]
        empty = np.empty((0, self.dimensions), np.float32)
        return np.concatenate([empty, *[await self._embed_batch(batch) for batch in batches]])

    async def aclose(self) -> None:
        """Closes the connections; the embedder cannot be used afterwards."""
        await self._client.close()

    async def _embed_batch(self, texts: Sequence[str]) -> Vectors:
        # The API refuses an empty text.
        sent = [text[:MAX_CHARACTERS] or " " for text in texts]
        rows = await self._request(sent)
        if not self._size_asked and len(rows[0]) != self.dimensions:
            # Not asked at once: servers refuse the parameter for models of one fixed size.
            self._size_asked = True
            rows = await self._request(sent)
        return unit_rows(rows, len(texts), self)

    async def _request(self, texts: list[str]) -> list[list[float]]:
        import openai

        secret_files.renew_key(self._client, self._settings)
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
        f"the dimensions of {spec!r} are unknown; write openai:{spec}@<dimensions>"
    )
