"""A graph within the graphs around it: the tensors they store, and the node that computes each tensor."""

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
# Operators that may stand between a stored operand and the operator that multiplies it.
_BETWEEN = CONVERSIONS | {"Transpose", "Reshape", "Identity", "Squeeze", "Unsqueeze", "Flatten", "Slice", "Split"}
# The dtypes of data, as `Grid` names them; other dtypes belong to indices and shapes.
NUMBERS = {
    "float32": "float32", "float16": "float16", "bfloat16": "bfloat16", "int8": "s8", "uint8": "u8", "int4": "s4",
}  # fmt: skip


def every_node(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Yield the nodes of a graph, then those of its subgraphs."""
    yield from graph.node
    for node in graph.node:
        for _, subgraph in subgraphs(node):
            yield from every_node(subgraph)


def subgraphs(node: onnx.NodeProto) -> Iterator[tuple[str, onnx.GraphProto]]:
    """Yield the graphs inside a node, each with the name of its attribute."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.name, attribute.g
        for graph in attribute.graphs:
            yield attribute.name, graph


def loop_invariants(node: onnx.NodeProto, body: onnx.GraphProto) -> dict[str, str]:
    """Return the inputs of a loop's body that never change, each with the loop's own input that feeds it.

    TensorFlow's converters pass weights from step to step in this way.
    """
    if node.op_type == "Loop":
        pairs = zip(list(body.input)[2:], list(body.output)[1:], list(node.input)[2:], strict=False)
    elif node.op_type == "Scan":
        scan_count = next(attribute.i for attribute in node.attribute if attribute.name == "num_scan_inputs")
        pairs = zip(body.input, body.output, list(node.input)[: len(node.input) - scan_count], strict=False)
    else:
        return {}
    copies = {inner.output[0]: inner.input[0] for inner in body.node if inner.op_type == "Identity"}

    def origin(name: str) -> str:
        while name in copies:
            name = copies[name]
        return name

    return {parameter.name: source for parameter, result, source in pairs if origin(result.name) == parameter.name}


@dataclass(frozen=True)
class Stored:
    """A stored operand: the tensor, the operator types between it and its reader, and its zero points and scales."""

    name: str
    values: NDArray[Any]
    between: tuple[str, ...] = ()
    zeros: Any = None
    scales: Any = None
    channels: int | None = None

    @property
    def grid(self) -> Grid:
        """The grid in which it is stored."""
        dtype = NUMBERS[self.values.dtype.name]
        if dtype not in INTEGERS:
            return Grid(dtype=dtype)
        scales = 1 if self.scales is None else self.scales.size
        return weight_grid(self.values, 0 if self.zeros is None else self.zeros, scales, dtype, self.channels)


class Scope:
    """A graph within the graphs whose names it can see.

    Args:
        graph: the graph.
        inferred: the same graph with inferred shapes.
        outer: the scope of the graph around it.
        around: the node that contains the graph.
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
        self.producers: dict[str, onnx.NodeProto] = dict(outer.producers if outer else {})
        if around is not None:
            invariants = loop_invariants(around, graph).items()
            self.producers |= {name: onnx.helper.make_node("Identity", [source], [name]) for name, source in invariants}
        self.producers |= {name: node for node in graph.node for name in node.output}
        self.shapes: dict[str, Shape] = dict(outer.shapes if outer else {})
        for value in (*inferred.input, *inferred.value_info, *inferred.output):
            tensor = value.type.tensor_type
            if tensor.HasField("shape") and all(d.HasField("dim_value") for d in tensor.shape.dim):
                self.shapes[value.name] = [d.dim_value for d in tensor.shape.dim]
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t"):
                self.values[node.output[0]] = to_array(node.attribute[0].t)

    def stored_shape(self, name: str) -> Shape | None:
        """Return the shape of a stored tensor; None if the tensor is computed."""
        return self.values[name].shape if name in self.values else None

    def stored(self, name: str) -> Stored | None:
        """Return the stored tensor behind an input, even if it is dequantized or rearranged at run time."""
        between: list[str] = []
        zeros = scales = None
        while name not in self.values:
            producer = self.producers.get(name)
            if producer is None or producer.op_type not in _BETWEEN or not producer.input:
                return None
            if producer.op_type == "DequantizeLinear":
                zeros, scales = self.value(producer, 2), self.value(producer, 1)
            name = producer.input[0]
            between.append(producer.op_type)
        values = self.values[name]
        if values.dtype.name not in NUMBERS:  # indices and shapes
            return None
        return Stored(name, values, tuple(between), zeros, scales)

    def value(self, node: onnx.NodeProto, place: int | None) -> Any:
        """Return the stored value of an input; None if the input is absent or computed."""
        if place is None or place >= len(node.input):
            return None
        return self.values.get(node.input[place])
