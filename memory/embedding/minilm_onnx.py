"""Writes all-MiniLM-L6-v2 as one ONNX graph, straight from its weights.

Input: `ids`, int64 (1, n), the tokens of one text with [CLS] and [SEP], n at most `MAX_TOKENS`.
Output: `embedding`, float32 (1, 384), the mean of the last layer's rows, of length 1.

The graph takes one text because 8-bit activations are scaled by their range over a whole tensor:
in a batch, a text's vector would depend on its neighbours (cosines down to 0.97 were measured),
and replaying the log would not give the same vectors twice. Nor is a batch faster on a CPU.

Architecture: Devlin et al. 2019 (BERT, normalisation after each sublayer), 6 layers, 12 heads;
pooling as in Reimers & Gurevych 2019. Operators of the domain `com.microsoft` are onnxruntime's.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, TensorProto, helper, numpy_helper

DIMENSIONS = 384
MAX_TOKENS = 256
HEADS = 12
LAYERS = 6
EPSILON = 1e-12  # of every layer normalisation

# Weights keep to 7 bits: 8-bit products are summed in pairs in 16 bits on x86 without VNNI, and
# 255 * 63 * 2 is the most that cannot overflow there. So every CPU does the same integer sums.
WEIGHT_LIMIT = 63
TABLE_LIMIT = 127  # the word table is only looked up, never multiplied in integers

ONNX = ""
ORT = "com.microsoft"

Array = npt.NDArray[np.float32]


def write_graph(
    weights: Mapping[str, Array], metadata: Mapping[str, str], *, quantised: bool = True
) -> bytes:
    """The serialised model, with `metadata` inside.

    `weights` go by the names of the published safetensors. `quantised=False` writes the same
    graph in float32: the yardstick for what quantisation costs.
    """
    graph = _Graph(weights, quantised=quantised)
    rows = _embed_tokens(graph)
    for layer in range(LAYERS):
        rows = _attend(graph, rows, f"encoder.layer.{layer}.attention")
        rows = _feed_forward(graph, rows, f"encoder.layer.{layer}")
    mean = graph.add("ReduceMean", rows, graph.constant(np.array([1])), keepdims=0)
    graph.add("LpNormalization", mean, output="embedding", axis=-1, p=2)
    return graph.serialise(metadata)


def _embed_tokens(graph: "_Graph") -> str:
    """Word, position and (the only) segment embeddings, summed and normalised: (1, n, 384)."""
    words = _look_up_words(graph)
    table = graph.weights["embeddings.position_embeddings.weight"][:MAX_TOKENS]
    segment = graph.weights["embeddings.token_type_embeddings.weight"][0]
    length = graph.add("Shape", "ids", start=1, end=2)
    positions = graph.add(
        "Slice", graph.constant(table + segment), graph.constant(np.array([0])), length
    )
    total = graph.add("Add", words, positions)
    return graph.add(
        "LayerNormalization", total, *_norm(graph, "embeddings.LayerNorm"), epsilon=EPSILON
    )


def _look_up_words(graph: "_Graph") -> str:
    table = graph.weights["embeddings.word_embeddings.weight"]
    if not graph.quantised:
        return graph.add("Gather", graph.constant(table), "ids")
    integers, scales = quantise(table, axis=1, limit=TABLE_LIMIT)
    rows = graph.add("Gather", graph.constant(integers), "ids")
    as_float = graph.add("Cast", rows, to=TensorProto.FLOAT)
    return graph.add("Mul", as_float, graph.add("Gather", graph.constant(scales), "ids"))


def _attend(graph: "_Graph", rows: str, name: str) -> str:
    """Self-attention with its residual; query, key and value in one product."""
    parts = [f"{name}.self.{part}" for part in ("query", "key", "value")]
    weight = np.concatenate([graph.weights[f"{part}.weight"].T for part in parts], axis=1)
    bias = np.concatenate([graph.weights[f"{part}.bias"] for part in parts])
    projected = _project(graph, rows, weight)
    query, key, value = graph.add_split(projected, 3)
    heads = graph.add(
        "MultiHeadAttention", query, key, value, graph.constant(bias), domain=ORT, num_heads=HEADS
    )
    mixed = _project(graph, heads, graph.weights[f"{name}.output.dense.weight"].T)
    return _add_and_norm(graph, mixed, rows, f"{name}.output")


def _feed_forward(graph: "_Graph", rows: str, name: str) -> str:
    """The two-layer perceptron (GELU) with its residual."""
    wide = _project_evenly(graph, rows, graph.weights[f"{name}.intermediate.dense.weight"].T)
    bias = graph.constant(graph.weights[f"{name}.intermediate.dense.bias"])
    active = graph.add("BiasGelu", wide, bias, domain=ORT)
    narrow = _project_evenly(graph, active, graph.weights[f"{name}.output.dense.weight"].T)
    return _add_and_norm(graph, narrow, rows, f"{name}.output")


def _add_and_norm(graph: "_Graph", rows: str, residual: str, name: str) -> str:
    bias = graph.constant(graph.weights[f"{name}.dense.bias"])
    norm = _norm(graph, f"{name}.LayerNorm")
    return graph.add(
        "SkipLayerNormalization", rows, residual, *norm, bias, domain=ORT, epsilon=EPSILON
    )


def _norm(graph: "_Graph", name: str) -> tuple[str, str]:
    gain, offset = graph.weights[f"{name}.weight"], graph.weights[f"{name}.bias"]
    return graph.constant(gain), graph.constant(offset)


def _project(graph: "_Graph", rows: str, weight: Array) -> str:
    """`rows` @ `weight` (in, out), in integers if the graph is quantised."""
    if not graph.quantised:
        return graph.add("MatMul", rows, graph.constant(weight))
    integers, scales = quantise(weight, axis=0, limit=WEIGHT_LIMIT)
    return graph.add(
        "DynamicQuantizeMatMul",
        rows,
        graph.constant(integers),
        graph.constant(scales.reshape(-1)),
        graph.constant(np.zeros(scales.size, np.int8)),
        domain=ORT,
    )


def _project_evenly(graph: "_Graph", rows: str, weight: Array) -> str:
    """Projects as `_project`, with every row scaled to a peak of 1 before and back after.

    A single token of a text has activations many times those of all others. With a shared scale,
    the others would have few steps. This halves the error of the whole model and costs a few per
    cent.
    """
    if not graph.quantised:
        return _project(graph, rows, weight)
    peak = graph.add("ReduceMax", rows, graph.constant(np.array([-1])), keepdims=1)
    scale = graph.add("Max", peak, graph.constant(np.array(1e-3, np.float32)))
    return graph.add("Mul", _project(graph, graph.add("Div", rows, scale), weight), scale)


def quantise(values: Array, axis: int, limit: int) -> tuple[npt.NDArray[np.int8], Array]:
    """Integers in ±`limit` and the scales, one per slice along `axis`: values ≈ integers * scales.

    Symmetric, rounded to nearest; the scales keep the reduced axis as 1.
    """
    peaks = np.abs(values).max(axis=axis, keepdims=True)
    scales = np.maximum(peaks / limit, np.finfo(np.float32).tiny).astype(np.float32)
    return np.rint(values / scales).clip(-limit, limit).astype(np.int8), scales


class _Graph:
    """Nodes and constants in the order they are added."""

    def __init__(self, weights: Mapping[str, Array], *, quantised: bool) -> None:
        self.weights = weights
        self.quantised = quantised
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []

    def constant(self, value: npt.NDArray[np.generic]) -> str:
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(
        self,
        operator: str,
        *inputs: str,
        domain: str = ONNX,
        output: str | None = None,
        **attributes: Any,
    ) -> str:
        """Adds a node and names its one output."""
        name = output or f"n{len(self._nodes)}"
        node = helper.make_node(operator, inputs, [name], domain=domain, **attributes)
        self._nodes.append(node)
        return name

    def add_split(self, value: str, count: int) -> list[str]:
        """Cuts the last axis of `value` into equal parts."""
        names = [f"n{len(self._nodes)}_{part}" for part in range(count)]
        node = helper.make_node("Split", [value], names, axis=-1, num_outputs=count)
        self._nodes.append(node)
        return names

    def serialise(self, metadata: Mapping[str, str]) -> bytes:
        ids = helper.make_tensor_value_info("ids", TensorProto.INT64, [1, "tokens"])
        out = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [1, DIMENSIONS])
        graph = helper.make_graph(self._nodes, "all-MiniLM-L6-v2", [ids], [out], self._constants)
        # Old enough for every onnxruntime this package accepts.
        imports = [helper.make_opsetid(ONNX, 18), helper.make_opsetid(ORT, 1)]
        model = helper.make_model(graph, opset_imports=imports, ir_version=9)
        helper.set_model_props(model, dict(metadata))
        return bytes(model.SerializeToString(deterministic=True))
