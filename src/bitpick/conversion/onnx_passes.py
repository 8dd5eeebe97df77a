"""Rewrite ONNX graphs without changing what they compute, which is verified afterwards on real samples."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx

BRANCHING = frozenset({"If", "Loop"})
"""Operators that choose by the value of an input which nodes run."""


def drop_stored_inputs(model: onnx.ModelProto) -> None:
    """Remove weights from the graph's inputs: old exporters list them there, which keeps them from being folded."""
    stored = {initializer.name for initializer in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in stored]
    del model.graph.input[:]
    model.graph.input.extend(inputs)


def spell_out_erfc(model: onnx.ModelProto) -> None:
    """Replace Erfc by 1 - Erf: tf2onnx writes it for exact GELUs, but it is not an ONNX operator."""
    import onnx

    nodes = list(model.graph.node)
    del model.graph.node[:]
    for node in nodes:
        if node.op_type != "Erfc":
            model.graph.node.append(node)
            continue
        one, erf = f"{node.output[0]}.one", f"{node.output[0]}.erf"
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(1, np.float32), one))
        model.graph.node.extend(
            [
                onnx.helper.make_node("Erf", list(node.input), [erf], f"{node.name}/Erf"),
                onnx.helper.make_node("Sub", [one, erf], list(node.output), node.name),
            ]
        )


def free_batch(model: onnx.ModelProto) -> int | None:
    """Free the leading dimension of inputs and outputs, also if an exporter fixed its size.

    Returns:
        The size it was fixed at; None if the batch was free already.
    """
    import onnx

    dims = [v.type.tensor_type.shape.dim for v in (*model.graph.input, *model.graph.output)]
    leading = {d[0].dim_value for d in dims if d and d[0].HasField("dim_value")}
    for d in dims:
        if d:
            d[0].dim_param = "batch"
    if not leading:
        return None
    del model.graph.value_info[:]  # these shapes hold the fixed size
    stored = {i.name: i for i in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "Reshape" or node.input[1] not in stored:
            continue
        target = onnx.numpy_helper.to_array(stored[node.input[1]]).copy()
        if target.size and target[0] in leading:
            target[0] = 0 if -1 in target[1:] else -1
            name = f"{node.output[0]}.shape"  # a new tensor: another node may read the old one
            model.graph.initializer.append(onnx.numpy_helper.from_array(target, name))
            node.input[1] = name
    return int(min(leading))


def fix_sizes(model: onnx.ModelProto, shapes: Sequence[Sequence[int]]) -> None:
    """Fix all free axes of inputs but the batch, such as height, width and sequence length.

    Args:
        model: a graph whose inputs have a leading batch axis.
        shapes: the shape of one sample of each input, without the batch axis, in the graph's order.
    """
    stored = {initializer.name for initializer in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in stored]
    for value, shape in zip(inputs, shapes, strict=True):
        dims = value.type.tensor_type.shape.dim[1:]
        if len(dims) == len(shape):
            for dim, size in zip(dims, shape, strict=True):
                dim.dim_value = dim.dim_value if dim.HasField("dim_value") else size
    del model.graph.value_info[:]  # these shapes hold the free sizes


def sort_nodes(model: onnx.ModelProto) -> None:
    """Sort nodes so that each comes after those it reads from: some converters append nodes out of order.

    A graph with a cycle stays as it is, and ONNX's checker reports it.
    """

    def sort(graph: onnx.GraphProto) -> None:
        for node in graph.node:
            for inner in subgraphs(node):
                sort(inner)
        makers = {name: index for index, node in enumerate(graph.node) for name in node.output if name}
        before = {p: {makers[name] for name in reads(node) if name in makers} for p, node in enumerate(graph.node)}
        if all(index > max(sources, default=-1) for index, sources in before.items()):
            return
        with contextlib.suppress(CycleError):
            order = list(TopologicalSorter(before).static_order())
            nodes = [type(node).FromString(node.SerializeToString()) for node in graph.node]
            del graph.node[:]
            graph.node.extend(nodes[index] for index in order)

    sort(model.graph)


def name_outputs(model: onnx.ModelProto) -> None:
    """Make sure that a node computes each output, even if the output is a stored tensor or an input."""
    import onnx

    graph = model.graph
    computed = {name for node in graph.node for name in node.output}
    taken = computed | {each.name for each in (*graph.initializer, *graph.input, *graph.output)}
    for value in graph.output:
        if value.name in computed:
            continue
        inner = next(name for i in itertools.count(1) if (name := f"{value.name}.stored{i}") not in taken)
        taken.add(inner)
        renamed = {value.name: inner}
        graph_input = next((each for each in graph.input if each.name == value.name), None)
        if graph_input is not None:  # the input's name is the user's, so the output gets a new one
            inner, value.name = value.name, f"{value.name}.output"
        else:
            for initializer in graph.initializer:
                initializer.name = renamed.get(initializer.name, initializer.name)
            for node in graph.node:
                rename_reads(node, renamed)
        graph.node.append(onnx.helper.make_node("Identity", [inner], [value.name], value.name))


def unwrap_zipmaps(model: onnx.ModelProto) -> None:
    """Replace ZipMap by its input, the tensor of scores: scikit-learn's converter adds it to return dictionaries."""
    import onnx

    graph = model.graph
    producers = {name: node for node in graph.node for name in node.output}
    for value in graph.output:
        node = producers.get(value.name)
        if node is not None and node.op_type == "ZipMap":
            node.CopyFrom(onnx.helper.make_node("Identity", list(node.input), list(node.output), node.name))
            value.type.CopyFrom(onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, [None, None]))


def free_dims(model: onnx.ModelProto) -> None:
    """Free the dimensions that an exporter wrote as -1 or 0, as ONNX Runtime does."""
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.HasField("dim_value") and dim.dim_value < 1:
                dim.ClearField("dim_value")


def flatten_biases(model: onnx.ModelProto) -> None:
    """Give each Gemm a bias with one number per output, as quantizers expect, or move the bias to an Add after it.

    A MatMul with an Add becomes a Gemm, whose stored bias may have the shape (1, N), or (M, 1), one for each row.
    """
    import onnx

    stored = {i.name: i for i in model.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        nodes.append(node)
        if node.op_type != "Gemm" or len(node.input) < 3 or node.input[2] not in stored or node.input[1] not in stored:
            continue
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        count = stored[node.input[1]].dims[0 if attributes.get("transB") else 1]
        bias = onnx.numpy_helper.to_array(stored[node.input[2]])
        if bias.shape == (count,):
            continue
        name = f"{node.output[0]}.bias"  # a new tensor: another node may read the old one
        if bias.size in (1, count) and bias.shape[:-1] in ((), (1,)):
            bias = np.broadcast_to(bias.reshape(-1), count).copy()
            node.input[2] = name
        else:
            bias = bias * np.float32(attributes.get("beta", 1))
            product, sink = f"{node.output[0]}.product", node.output[0]
            del node.input[2]
            node.output[0] = product
            nodes.append(onnx.helper.make_node("Add", [product, name], [sink], f"{node.name}/Add"))
        model.graph.initializer.append(onnx.numpy_helper.from_array(bias, name))
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def rename_reads(node: onnx.NodeProto, new: Mapping[str, str]) -> None:
    """Rename the tensors that a node reads, including those its subgraphs read."""
    node.input[:] = [new.get(name, name) for name in node.input]
    for graph in subgraphs(node):
        for inner in graph.node:
            rename_reads(inner, new)


def fix_reshapes(model: onnx.ModelProto) -> None:
    """Replace the target of each Reshape by a constant, if converters compute it from the shape of a tensor.

    They write Shape → Slice → Concat → Reshape to keep the batch free; a constant with one -1 does too, and importers
    and quantizers understand it. For the same model, tf2onnx folds this itself in some runs and not in others.
    """
    import onnx

    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    shapes = {
        v.name: v.type.tensor_type.shape.dim
        for v in (*inferred.graph.value_info, *inferred.graph.output)
        if v.type.tensor_type.HasField("shape")
    }
    stored = {i.name: i for i in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "Reshape":
            continue
        if node.input[1] not in stored and node.output[0] in shapes:
            target = [d.dim_value if d.HasField("dim_value") else -1 for d in shapes[node.output[0]]]
            if target.count(-1) <= 1 and 0 not in target:
                name = f"{node.output[0]}.shape"
                stored[name] = onnx.numpy_helper.from_array(np.array(target, np.int64), name)
                model.graph.initializer.append(stored[name])
                node.input[1] = name
        if node.input[1] in stored:
            _drop_allowzero(node, stored[node.input[1]])


def pool_means(model: onnx.ModelProto) -> None:
    """Replace a mean over height and width by GlobalAveragePool, which quantizers know as an operator."""
    import onnx

    inferred = onnx.shape_inference.infer_shapes(model)
    ranks = {
        v.name: len(v.type.tensor_type.shape.dim)
        for v in (*inferred.graph.input, *inferred.graph.value_info)
        if v.type.tensor_type.HasField("shape")
    }
    stored = {i.name: i for i in model.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        nodes.append(node)
        if node.op_type != "ReduceMean" or ranks.get(node.input[0]) != 4:
            continue
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        axes = attributes.get("axes", ())
        if len(node.input) > 1:
            axes = onnx.numpy_helper.to_array(stored[node.input[1]]).tolist() if node.input[1] in stored else ()
        if sorted(axis % 4 for axis in axes) != [2, 3]:
            continue
        keepdims = attributes.get("keepdims", 1)
        pooled = node.output[0] if keepdims else f"{node.output[0]}.pooled"
        nodes[-1] = onnx.helper.make_node("GlobalAveragePool", [node.input[0]], [pooled], node.name)
        if not keepdims:
            nodes.append(onnx.helper.make_node("Flatten", [pooled], node.output[:1], f"{node.name}/Flatten"))
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _drop_allowzero(node: onnx.NodeProto, target: onnx.TensorProto) -> None:
    """Drop the attribute `allowzero` if the target has no zero: not every importer knows it."""
    import onnx

    if 0 not in onnx.numpy_helper.to_array(target):
        others = [attribute for attribute in node.attribute if attribute.name != "allowzero"]
        del node.attribute[:]
        node.attribute.extend(others)


def drop_dead(model: onnx.ModelProto) -> None:
    """Remove nodes whose outputs nothing reads, which ONNX Runtime keeps, and the weights that only they read.

    Sort weights in the order in which they are read, so that the same model gives the same file.
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
    """Return the tensors that a node reads, including those that its subgraphs (of If, Loop) read."""
    names = set(node.input)
    for graph in subgraphs(node):
        for inner in graph.node:
            names |= reads(inner)
        names.update(value.name for value in graph.output)
    return names


def subgraphs(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """Return the subgraphs of a node, as If and Loop have them."""
    return [g for a in node.attribute for g in (*a.graphs, *([a.g] if a.HasField("g") else []))]
