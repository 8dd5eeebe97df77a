"""Change the float types of an ONNX graph."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from bitpick.conversion.onnx_passes import subgraphs

if TYPE_CHECKING:
    import onnx


def to_float32(model: onnx.ModelProto) -> None:
    """Convert every other float type to float32: weights, constants, casts, inputs and outputs."""
    from onnx import TensorProto

    for other in (TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE):
        widen(model, other, TensorProto.FLOAT)


def widen(model: onnx.ModelProto, narrow: int, wide: int) -> None:
    """Convert one float type to another everywhere: weights, constants, casts, inputs and outputs.

    Args:
        model: the model; modified in place.
        narrow: the element type to replace, of `onnx.TensorProto`.
        wide: the element type to replace it by.
    """
    _widen_graph(model.graph, narrow, wide)
    for function in model.functions:
        _widen_nodes(function.node, narrow, wide)


def _widen_graph(graph: onnx.GraphProto, narrow: int, wide: int) -> None:
    del graph.value_info[:]
    for stored in graph.initializer:
        _widen_tensor(stored, narrow, wide)
    for value in (*graph.input, *graph.output):
        if value.type.tensor_type.elem_type == narrow:
            value.type.tensor_type.elem_type = wide
    _widen_nodes(graph.node, narrow, wide)


def _widen_nodes(nodes: Iterable[onnx.NodeProto], narrow: int, wide: int) -> None:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                _widen_tensor(attribute.t, narrow, wide)
            elif attribute.name in ("to", "dtype") and attribute.i == narrow:
                attribute.i = wide
        for inner in subgraphs(node):
            _widen_graph(inner, narrow, wide)


def _widen_tensor(tensor: onnx.TensorProto, narrow: int, wide: int) -> None:
    import onnx

    if tensor.data_type == narrow:
        values = onnx.numpy_helper.to_array(tensor).astype(onnx.helper.tensor_dtype_to_np_dtype(wide))
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
