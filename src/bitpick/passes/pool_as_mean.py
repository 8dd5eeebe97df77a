"""Replace a global average pool by a mean over the spatial axes.

Quantizers give the output of an average pool the scale of its input. The means of a feature map are far smaller than
its largest values, so they keep only three or four bits; the output of a mean gets a scale of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bitpick.passes.graph_pass import Applied, GraphPass
from bitpick.passes.graphs import Graph, attributes, shapes

if TYPE_CHECKING:
    import onnx

PASS = GraphPass(
    "pool_as_mean",
    "writes an average pool over the whole map as a mean over its spatial axes, whose output has a scale of its own",
    "bitpick.passes.pool_as_mean:apply",
)
_AXES_AS_INPUT = 18  # the first opset where ReduceMean takes its axes as an input


def apply(source: str, out: str) -> Applied:
    """Rewrite a graph.

    Args:
        source: the `.onnx` file to read.
        out: the `.onnx` file to write.
    """
    import onnx

    from bitpick.conversion.onnx_file import opset_of

    model = onnx.load(source)
    tensor_shapes, graph = shapes(model), Graph(model)
    pools = [node for node in model.graph.node if _covers_whole_map(node, tensor_shapes)]
    for node in pools:
        rank = len(tensor_shapes.get(node.input[0], ())) or len(tensor_shapes[node.output[0]])
        axes = list(range(2, rank))
        if opset_of(model) >= _AXES_AS_INPUT:
            graph.store(f"{node.output[0]}.axes", np.array(axes))
            mean = onnx.helper.make_node(
                "ReduceMean", [node.input[0], f"{node.output[0]}.axes"], list(node.output), node.name, keepdims=1
            )
        else:
            mean = onnx.helper.make_node(
                "ReduceMean", [node.input[0]], list(node.output), node.name, axes=axes, keepdims=1
            )
        node.CopyFrom(mean)
    onnx.save(model, out)
    return Applied([node.name for node in pools], "it has no average pool over a whole map")


def _covers_whole_map(node: onnx.NodeProto, tensor_shapes: dict[str, list[int | None]]) -> bool:
    """Return whether a node is an average pool whose window covers the whole map."""
    spatial = tensor_shapes.get(node.input[0], [])[2:] if node.input else []
    if node.op_type == "GlobalAveragePool":
        return len(spatial) > 0
    if node.op_type != "AveragePool" or not spatial or None in spatial:
        return False
    attrs = attributes(node)
    padded = any(attrs.get("pads", ())) or attrs.get("auto_pad", b"NOTSET") not in (
        b"NOTSET",
        b"VALID",
    )
    # A window as large as the map has one position only, whatever its strides.
    return list(attrs["kernel_shape"]) == spatial and not padded and set(attrs.get("dilations", (1,))) == {1}
