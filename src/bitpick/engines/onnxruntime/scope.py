"""A graph among those that it lies in: what they store, and what computes each of their tensors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from bitpick.engines.counting import Shape
from bitpick.engines.executed import INTEGERS, weight_grid
from bitpick.schema.fingerprint import Grid

if TYPE_CHECKING:
    import onnx

CONVERSIONS = frozenset({"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "Cast"})
# What may lie between a stored operand and the operator that multiplies it.
_BETWEEN = CONVERSIONS | {"Transpose", "Reshape", "Identity", "Squeeze", "Unsqueeze", "Flatten", "Slice", "Split"}
# The dtypes of numbers, in the words of `Grid`; others are indices, and shapes.
NUMBERS = {"float32": "float32", "float16": "float16", "bfloat16": "bfloat16", "int8": "s8", "uint8": "u8"}


def every_node(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The nodes of a graph, then those of its subgraphs."""
    yield from graph.node
    for node in graph.node:
        for _, subgraph in subgraphs(node):
            yield from every_node(subgraph)


def subgraphs(node: onnx.NodeProto) -> Iterator[tuple[str, onnx.GraphProto]]:
    """The graphs inside a node, each with the name of its attribute."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.name, attribute.g
        for graph in attribute.graphs:
            yield attribute.name, graph


def handed_on(node: onnx.NodeProto, body: onnx.GraphProto) -> dict[str, str]:
    """The inputs of a loop's body that are the same at each step, and what the loop takes for each.

    TensorFlow's converters hand weights from one step to the next in this way.
    """
    if node.op_type == "Loop":
        pairs = zip(list(body.input)[2:], list(body.output)[1:], list(node.input)[2:], strict=False)
    elif node.op_type == "Scan":
        scanned = next(each.i for each in node.attribute if each.name == "num_scan_inputs")
        pairs = zip(body.input, body.output, list(node.input)[: len(node.input) - scanned], strict=False)
    else:
        return {}
    copied = {inner.output[0]: inner.input[0] for inner in body.node if inner.op_type == "Identity"}

    def origin(name: str) -> str:
        while name in copied:
            name = copied[name]
        return name

    return {given.name: source for given, kept, source in pairs if origin(kept.name) == given.name}


@dataclass(frozen=True)
class Stored:
    """A stored operand: the tensor, what lies between it and the operator, and what its integers stand for."""

    name: str
    values: NDArray[Any]
    between: tuple[str, ...] = ()
    zeros: Any = None
    scales: Any = None
    channels: int | None = None

    @property
    def grid(self) -> Grid:
        """The grid that it is kept in."""
        kept = NUMBERS[self.values.dtype.name]
        if kept not in INTEGERS:
            return Grid(dtype=kept)
        scales = 1 if self.scales is None else self.scales.size
        return weight_grid(self.values, 0 if self.zeros is None else self.zeros, scales, kept, self.channels)


class Scope:
    """A graph, inside those that its names may come from.

    Args:
        graph: the graph.
        inferred: the same, with the shapes that are known without a run.
        outer: the graph around it.
        around: the node that it is part of.
    """

    def __init__(
        self,
        graph: onnx.GraphProto,
        inferred: onnx.GraphProto,
        outer: Scope | None = None,
        around: onnx.NodeProto | None = None,
    ) -> None:
        import onnx

        self.graph, self.inferred = graph, inferred
        to_array = onnx.numpy_helper.to_array
        self.values: dict[str, NDArray[Any]] = dict(outer.values if outer else {})
        self.values |= {i.name: to_array(i) for i in graph.initializer}
        self.made: dict[str, onnx.NodeProto] = dict(outer.made if outer else {})
        if around is not None:
            given = handed_on(around, graph).items()
            self.made |= {name: onnx.helper.make_node("Identity", [source], [name]) for name, source in given}
        self.made |= {name: node for node in graph.node for name in node.output}
        self.shapes: dict[str, Shape] = dict(outer.shapes if outer else {})
        for value in (*inferred.input, *inferred.value_info, *inferred.output):
            tensor = value.type.tensor_type
            if tensor.HasField("shape") and all(d.HasField("dim_value") for d in tensor.shape.dim):
                self.shapes[value.name] = [d.dim_value for d in tensor.shape.dim]
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t"):
                self.values[node.output[0]] = to_array(node.attribute[0].t)

    def stored_shape(self, name: str) -> Shape | None:
        """The shape of a stored tensor; None of any other."""
        return self.values[name].shape if name in self.values else None

    def stored(self, name: str) -> Stored | None:
        """The stored tensor behind an input, which may be turned to floats or rearranged as the model runs."""
        between: list[str] = []
        zeros = scales = None
        while name not in self.values:
            maker = self.made.get(name)
            if maker is None or maker.op_type not in _BETWEEN or not maker.input:
                return None
            if maker.op_type == "DequantizeLinear":
                zeros, scales = self.value(maker, 2), self.value(maker, 1)
            name = maker.input[0]
            between.append(maker.op_type)
        values = self.values[name]
        if values.dtype.name not in NUMBERS:  # indices, and shapes
            return None
        return Stored(name, values, tuple(between), zeros, scales)

    def value(self, node: onnx.NodeProto, place: int | None) -> Any:
        """The stored value of an input; None where the node has no such input, or computes it."""
        if place is None or place >= len(node.input):
            return None
        return self.values.get(node.input[place])
