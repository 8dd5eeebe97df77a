"""Simplify the indices of Gather nodes that are computed from other indices but select the same rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from bitpick.conversion import onnx_file

if TYPE_CHECKING:
    import onnx

# Operators that treat each element independently.
_ELEMENTWISE = {
    "Add", "Sub", "Mul", "Cast", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal", "Not", "And", "Or",
}  # fmt: skip
_ELEMENTWISE |= {"Where", "Mod", "Identity"}
_MOST_ROWS = 1_000_000  # largest table of which every index is tried


def simplify(model: onnx.ModelProto) -> None:
    """Let each Gather read the indices that its own are computed from, if they select the same rows.

    TensorFlow converts negative indices with integer arithmetic that quantizers trip over; Gather handles them itself.
    Every possible index is tried to check that both select the same rows.
    """
    import onnx

    opset = onnx_file.opset_of(model)
    stored = {i.name: i for i in model.graph.initializer}
    scalars = {name: onnx.numpy_helper.to_array(i) for name, i in stored.items() if np.prod(i.dims) == 1}
    producers = {name: node for node in model.graph.node for name in node.output}
    integers = (onnx.TensorProto.INT32, onnx.TensorProto.INT64)  # the types that Gather accepts
    input_dtypes = {v.name: v.type.tensor_type.elem_type for v in model.graph.input}
    dtypes = {name: dtype for name, dtype in input_dtypes.items() if dtype in integers}
    for node in model.graph.node:
        if node.op_type != "Gather" or node.input[0] not in stored:
            continue
        axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
        rows = stored[node.input[0]].dims[axis]
        chain, sources = _trace_chain(node.input[1], producers, stored)
        if chain and len(sources) == 1 and sources[0] in dtypes and rows <= _MOST_ROWS:
            indices = np.arange(-rows, rows)
            typed = indices.astype(onnx.helper.tensor_dtype_to_np_dtype(dtypes[sources[0]]))
            values = {sources[0]: typed} | scalars
            for step in chain:
                (values[step.output[0]],) = onnx_file.run_node(step, values, opset)
            if np.array_equal(values[node.input[1]].reshape(-1).astype(np.int64) % rows, indices % rows):
                node.input[1] = sources[0]


def _trace_chain(
    name: str, producers: Mapping[str, onnx.NodeProto], stored: Mapping[str, onnx.TensorProto]
) -> tuple[list[onnx.NodeProto], list[str]]:
    """Return the elementwise nodes that compute a tensor, in order, and the tensors that they start from."""
    node = producers.get(name)
    if node is None or node.op_type not in _ELEMENTWISE:
        return [], [name]
    nodes: list[onnx.NodeProto] = []
    sources: list[str] = []
    for source in node.input:
        if source in stored:
            if np.prod(stored[source].dims) != 1:
                return [], [name]
            continue
        chain, starts = _trace_chain(source, producers, stored)
        nodes += [step for step in chain if step not in nodes]
        sources += [start for start in starts if start not in sources]
    return [*nodes, node], sources
