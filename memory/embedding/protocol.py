"""Defines the `Embedder` protocol, and the check that its vectors must pass."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from memory.errors import EmbeddingFailed, WrongDimension

Vectors = NDArray[np.float32]
"""Unit vectors, float32 (texts, dimensions)."""

MAX_BATCH = 128
"""Texts in one request: few enough that a slow endpoint answers within its own time limit."""


class Embedder(Protocol):
    """Makes vectors whose inner product measures how close two texts are in meaning.

    `name` identifies the model and changes whenever its vectors would: the store keeps it with
    them, and never compares vectors of two names.
    """

    @property
    def name(self) -> str:
        """The identity of the model that makes the vectors."""
        ...

    @property
    def dimensions(self) -> int:
        """The length of a vector."""
        ...

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Returns one unit vector for each text, float32 (n, dimensions), in the order of `texts`.

        It never blocks the event loop, and calls may overlap.

        Raises:
            EmbeddingFailed: the engine did not answer; the same call may succeed later.
            WrongDimension: it answered with vectors of another size than it declares.
            MissingEmbeddingModel: the model cannot be loaded.
        """
        ...

    async def aclose(self) -> None:
        """Closes connections; may be called more than once."""
        ...


def unit_rows(rows: Sequence[ArrayLike], count: int, embedder: Embedder) -> Vectors:
    """Returns `rows` as float32 (count, dimensions), each scaled to length 1.

    Raises:
        WrongDimension: a row does not have the embedder's size.
        EmbeddingFailed: there are not `count` rows, or a number is not finite.
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
