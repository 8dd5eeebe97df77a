"""Multiply-accumulates of ONNX graphs, and how many of them ONNX Runtime computes on integers: a count of its own.

It is made of the numbers that went through a graph: every tensor of it is made an output, and one sample is run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

Tensors = Mapping[str, NDArray[Any]]
Feed = Callable[[bytes], Mapping[str, NDArray[Any]]]

# Where the weight of an integer operator is in its inputs.
_INTEGER = {
    "QLinearConv": 3, "QLinearMatMul": 3, "QGemm": 3, "ConvInteger": 1, "MatMulInteger": 1, "MatMulIntegerToFloat": 1,
    "DynamicQuantizeMatMul": 1,
}  # fmt: skip
_CONVOLUTIONS = ("Conv", "FusedConv", "QLinearConv", "ConvInteger")
_PRODUCTS = ("MatMul", "FusedMatMul", "QLinearMatMul", "MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul")
_GATES = {"LSTM": 4, "DynamicQuantizeLSTM": 4, "GRU": 3, "RNN": 1}


@dataclass(frozen=True)
class Counted:
    """What one sample costs.

    Attributes:
        macs: multiply-accumulates of the graph itself, with a stored operand or without.
        integer: those that are computed on integers.
        inside: operators with weights in subgraphs, which are not in the other numbers.
    """

    macs: int
    integer: int
    inside: tuple[str, ...]


def counted(model: onnx.ModelProto, feeds: Tensors) -> Counted:
    """Count a graph, on one sample."""
    tensors = _through(model, feeds)
    fixed = _fixed(model.graph)
    macs = integer = 0
    for node in _needed(model.graph):
        each = _macs(node, tensors, fixed)
        macs += each
        integer += each if node.op_type in _INTEGER or node.op_type == "DynamicQuantizeLSTM" else 0
    inside = (*_CONVOLUTIONS, *_PRODUCTS, *_GATES, "Gemm", "FusedGemm", "ConvTranspose", "Einsum")
    return Counted(macs, integer, tuple(n.op_type for n in _below(model.graph) if n.op_type in inside))


def executed(file: Path, settings: Mapping[str, str], feeds: Tensors) -> Counted:
    """Count what ONNX Runtime makes of a build as it opens it, before it blocks channels for this CPU."""
    import onnxruntime as ort

    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = f"{folder}/optimized.onnx"
        for name, value in settings.items():
            options.add_session_config_entry(name, value)
        ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        return counted(onnx.load(options.optimized_model_filepath), feeds)


def _through(model: onnx.ModelProto, feeds: Tensors) -> dict[str, NDArray[Any]]:
    """Every tensor of a graph, for one sample."""
    import onnxruntime as ort

    whole = onnx.ModelProto.FromString(model.SerializeToString())
    known = {each.name for each in whole.graph.output}
    names = dict.fromkeys(name for node in whole.graph.node for name in node.output if name)
    whole.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    for end in whole.graph.input:
        for size in end.type.tensor_type.shape.dim:
            if size.HasField("dim_value") and size.dim_value <= 0:  # free, as some converters write it
                size.ClearField("dim_value")
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(whole.SerializeToString(), options, providers=["CPUExecutionProvider"])
    outputs = [each.name for each in session.get_outputs()]
    found = dict(zip(outputs, session.run(None, dict(feeds)), strict=True))
    return {**{i.name: numpy_helper.to_array(i) for i in whole.graph.initializer}, **feeds, **found}


def _fixed(graph: onnx.GraphProto) -> set[str]:
    """The tensors that no input changes."""
    fixed = {each.name for each in graph.initializer}
    for node in graph.node:
        inside = {name for each in _below_node(node) for name in each.input}
        if all(not name or name in fixed for name in (*node.input, *inside)):
            fixed |= set(node.output)
    return fixed


def _needed(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The nodes that an output depends on, whatever their order."""
    made = {name: node for node in graph.node for name in node.output if name}
    found: dict[str, onnx.NodeProto] = {}
    wanted = [each.name for each in graph.output]
    while wanted:
        node = made.get(wanted.pop())
        if node is not None and (key := " ".join(node.output)) not in found:
            found[key] = node
            wanted += [*node.input, *(name for each in _below_node(node) for name in each.input)]
    return list(found.values())


def _macs(node: onnx.NodeProto, tensors: Tensors, fixed: set[str]) -> int:
    """Of one operator that computes from an input of the graph; else 0."""
    stored = [name in fixed for name in node.input]
    if all(stored) or node.output[0] not in tensors:
        return 0
    kind, size = node.op_type, tensors[node.output[0]].size
    shapes = [tensors[name].shape if name else () for name in node.input]
    attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    if kind in _CONVOLUTIONS:
        weight = shapes[_INTEGER.get(kind, 1)]
        return size * int(np.prod(weight[1:]))
    if kind == "ConvTranspose":
        return int(np.prod(shapes[0])) * int(np.prod(shapes[1][1:]))
    if kind in _PRODUCTS:
        turned = attributes.get("transA", 0)
        return size * (shapes[0][-2 if turned else -1] if shapes[0] else 1)
    if kind in ("Gemm", "FusedGemm", "QGemm"):
        return size * shapes[0][0 if attributes.get("transA", 0) else 1]
    if kind == "Einsum":
        return _of_letters(attributes["equation"].decode(), shapes)
    if kind in _GATES:
        steps, samples, width = shapes[0] if not attributes.get("layout") else (*shapes[0][1::-1], shapes[0][2])
        hidden, directions = attributes["hidden_size"], 2 if attributes.get("direction") == b"bidirectional" else 1
        return steps * samples * directions * _GATES[kind] * hidden * (width + hidden)
    return 0


def _of_letters(equation: str, shapes: list[tuple[int, ...]]) -> int:
    """The product of the sizes of all letters of an equation."""
    terms = equation.replace(" ", "").partition("->")[0].split(",")
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        sizes |= dict(zip(term, shape, strict=True))
    return int(np.prod(list(sizes.values())))


def _below(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The nodes of all subgraphs."""
    for node in graph.node:
        yield from _below_node(node)


def _below_node(node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield from attribute.g.node
            yield from _below(attribute.g)
