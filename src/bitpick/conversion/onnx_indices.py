"""Indices of an ONNX graph that are computed from others, and come to the same rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from bitpick.conversion import onnx_file

if TYPE_CHECKING:
    import onnx

# They compute each number by itself.
_EACH = {"Add", "Sub", "Mul", "Cast", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal", "Not", "And", "Or"}
_EACH |= {"Where", "Mod", "Identity"}
_LARGEST = 1_000_000  # rows of a table of which every index is tried


def plain(model: onnx.ModelProto) -> None:
    """Have each Gather take the indices that its own are computed from, where it gives the same rows for them.

    TensorFlow writes out what a negative index means, in integer arithmetic that quantizers trip over; a Gather knows.
    Whether both are the same is tried for every index that there is.
    """
    import onnx

    opset = onnx_file.opset_of(model)
    stored = {i.name: i for i in model.graph.initializer}
    scalars = {name: onnx.numpy_helper.to_array(i) for name, i in stored.items() if np.prod(i.dims) == 1}
    made = {name: node for node in model.graph.node for name in node.output}
    whole = (onnx.TensorProto.INT32, onnx.TensorProto.INT64)  # what Gather takes
    kinds = {v.name: v.type.tensor_type.elem_type for v in model.graph.input}
    dtypes = {name: kind for name, kind in kinds.items() if kind in whole}
    for node in model.graph.node:
        if node.op_type != "Gather" or node.input[0] not in stored:
            continue
        axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
        rows = stored[node.input[0]].dims[axis]
        chain, sources = _computed(node.input[1], made, stored)
        if chain and len(sources) == 1 and sources[0] in dtypes and rows <= _LARGEST:
            every = np.arange(-rows, rows)
            numbers = every.astype(onnx.helper.tensor_dtype_to_np_dtype(dtypes[sources[0]]))
            known = {sources[0]: numbers} | scalars
            for each in chain:
                (known[each.output[0]],) = onnx_file.computed(each, known, opset)
            if np.array_equal(known[node.input[1]].reshape(-1).astype(np.int64) % rows, every % rows):
                node.input[1] = sources[0]


def _computed(
    name: str, made: Mapping[str, onnx.NodeProto], stored: Mapping[str, onnx.TensorProto]
) -> tuple[list[onnx.NodeProto], list[str]]:
    """The nodes that compute a tensor number by number, in order, and the tensors that they start from."""
    node = made.get(name)
    if node is None or node.op_type not in _EACH:
        return [], [name]
    nodes: list[onnx.NodeProto] = []
    sources: list[str] = []
    for each in node.input:
        if each in stored:
            if np.prod(stored[each].dims) != 1:
                return [], [name]
            continue
        above, starts = _computed(each, made, stored)
        nodes += [new for new in above if new not in nodes]
        sources += [start for start in starts if start not in sources]
    return [*nodes, node], sources
