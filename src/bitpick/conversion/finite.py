"""Refuse models with weights that are not finite: nothing that such a model answers means anything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bitpick.errors import ModelError

if TYPE_CHECKING:
    import onnx

_SHOWN = 3
# Operators whose stored operands are weights. Elsewhere an infinity can be meant: in masks, and as a bound.
_WEIGHTED = {
    "BatchNormalization", "Conv", "ConvTranspose", "Einsum", "GRU", "Gemm", "GroupNormalization",
    "InstanceNormalization", "LSTM", "LayerNormalization", "MatMul", "PRelu", "RNN",
}  # fmt: skip
_ARITHMETIC = {"Add", "Div", "Gather", "Mul", "Sub"}  # a mask may be infinite here, but never NaN
_ARRANGING = {"Cast", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}


NotFinite = tuple[str, int, int]
"""A tensor with values that no weight may have: its name, how many they are, and how many values it has."""


def refuse(name: str, tensors: Iterable[NotFinite]) -> None:
    """Refuse a model if some of its weights are NaN or infinite.

    Args:
        name: the model's name in messages.
        tensors: the weights that are not finite.

    Raises:
        ModelError: there are such weights; the message names them, and says how many of their values.
    """
    found = [f"{tensor} ({bad:,} of {total:,} values)" for tensor, bad, total in tensors]
    if found:
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise ModelError(
            f"weights of the model {name} are NaN or infinite: {', '.join(found[:_SHOWN])}{more}",
            expected="a trained model, whose weights are all finite",
            fix="take a checkpoint from before its training diverged, or one whose file is undamaged",
        )


def of_onnx(model: onnx.ModelProto) -> Iterator[NotFinite]:
    """Yield the weights of an ONNX model that are not finite."""
    graphs = list(_graphs(model.graph))
    readers: dict[str, set[str]] = {}
    for graph in reversed(graphs):
        for node in reversed(graph.node):
            if node.op_type in _ARRANGING and node.input:
                readers.setdefault(node.input[0], set()).update(*(readers.get(name, ()) for name in node.output))
            for name in node.input:
                readers.setdefault(name, set()).add(node.op_type)
    for graph in graphs:
        for name, array in _stored(graph):
            kinds = readers.get(name, set())
            if kinds & _WEIGHTED:
                bad = ~np.isfinite(array)
            elif kinds & _ARITHMETIC:
                bad = np.isnan(array)
            else:
                continue
            if bad.any():
                yield name, int(bad.sum()), array.size


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Yield a graph and its subgraphs, each after the one that contains it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _graphs(attribute.g)


def _stored(graph: onnx.GraphProto) -> Iterator[tuple[str, NDArray[np.floating]]]:
    """Yield name and value of each tensor of floats that a graph stores."""
    import onnx

    stored = [(tensor.name, tensor) for tensor in graph.initializer]
    for node in graph.node:
        stored += [(node.output[0], a.t) for a in node.attribute if node.op_type == "Constant" and a.name == "value"]
    floats = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16, onnx.TensorProto.DOUBLE
    for name, tensor in stored:
        if tensor.data_type in floats:
            yield name, onnx.numpy_helper.to_array(tensor)
