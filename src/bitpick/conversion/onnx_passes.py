"""Rewrites of an ONNX graph that keep what it computes. Whether they did is verified afterwards, on real samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx


def drop_stored_inputs(model: onnx.ModelProto) -> None:
    """Take weights out of the graph's inputs, where old exporters list them and so keep them from being folded."""
    stored = {initializer.name for initializer in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in stored]
    del model.graph.input[:]
    model.graph.input.extend(inputs)


def free_batch(model: onnx.ModelProto) -> None:
    """Make the leading dimension of inputs and outputs a free one, also where an exporter fixed it at one size."""
    import onnx

    dims = [v.type.tensor_type.shape.dim for v in (*model.graph.input, *model.graph.output)]
    leading = {d[0].dim_value for d in dims if d and d[0].HasField("dim_value")}
    for d in dims:
        if d:
            d[0].dim_param = "batch"
    if not leading:
        return
    del model.graph.value_info[:]  # shapes at the size that was fixed
    stored = {i.name: i for i in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "Reshape" or node.input[1] not in stored:
            continue
        target = onnx.numpy_helper.to_array(stored[node.input[1]]).copy()
        if target.size and target[0] in leading:
            target[0] = 0 if -1 in target[1:] else -1
            name = f"{node.output[0]}.shape"  # its own: another node may read the old one
            model.graph.initializer.append(onnx.numpy_helper.from_array(target, name))
            node.input[1] = name


def fix_reshapes(model: onnx.ModelProto) -> None:
    """Give each Reshape its target as a constant, where converters compute it from the shape of a tensor.

    Shape → Slice → Concat → Reshape is how they keep the batch free; a constant with one -1 does too, and importers and
    quantizers understand it. tf2onnx folds it itself in some runs and not in others, for the same model.
    """
    import onnx

    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    shapes = {
        v.name: v.type.tensor_type.shape.dim
        for v in (*inferred.graph.value_info, *inferred.graph.output)
        if v.type.tensor_type.HasField("shape")
    }
    stored = {i.name for i in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "Reshape" or node.input[1] in stored or node.output[0] not in shapes:
            continue
        target = [d.dim_value if d.HasField("dim_value") else -1 for d in shapes[node.output[0]]]
        if target.count(-1) <= 1 and 0 not in target:
            name = f"{node.output[0]}.shape"
            model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(target, np.int64), name))
            node.input[1] = name


def drop_dead(model: onnx.ModelProto) -> None:
    """Remove nodes whose results nobody reads, which ONNX Runtime keeps, and the weights that only they read.

    Weights are put in the order in which they are read, so that the same model gives the same file.
    """
    graph = model.graph
    read = {value.name for value in graph.output}
    alive: list[onnx.NodeProto] = []
    for node in reversed(graph.node):  # nodes are in topological order
        if read.intersection(node.output):
            alive.append(node)
            read.update(reads(node))
    nodes, stored = alive[::-1], {i.name: i for i in graph.initializer}
    order = dict.fromkeys(name for node in nodes for name in sorted(reads(node)))
    weights = [stored[name] for name in order if name in stored]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(weights)


def reads(node: onnx.NodeProto) -> set[str]:
    """The tensors that a node reads, its subgraphs (of If, Loop) included."""
    names = set(node.input)
    for graph in subgraphs(node):
        for inner in graph.node:
            names |= reads(inner)
        names.update(value.name for value in graph.output)
    return names


def subgraphs(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """The graphs inside a node, of If and Loop."""
    return [g for a in node.attribute for g in (*a.graphs, *([a.g] if a.HasField("g") else []))]
