"""What passes ask of a graph: who makes and who reads a tensor, and its constants."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx


class Graph:
    """A graph that is being changed.

    Args:
        model: the model, whose main graph it is.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.proto = model.graph
        self.outputs = {value.name for value in model.graph.output}
        self._stored = {each.name: each for each in model.graph.initializer}
        self.readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        self.makers: dict[str, onnx.NodeProto] = {}
        for node in model.graph.node:
            for name in node.input:
                self.readers[name].append(node)
            for name in node.output:
                self.makers[name] = node
        self._inside = set(_read_inside(model.graph))

    def constant(self, name: str) -> NDArray[Any] | None:
        """The value of a stored tensor; None of any other."""
        import onnx

        stored = self._stored.get(name)
        return None if stored is None else onnx.numpy_helper.to_array(stored)

    def only_reader(self, tensor: str) -> onnx.NodeProto | None:
        """The node that reads a tensor, where nothing else does."""
        readers = self.readers[tensor]
        alone = len(readers) == 1 and tensor not in self.outputs and tensor not in self._inside
        return readers[0] if alone and list(readers[0].input).count(tensor) == 1 else None

    def owned(self, node: onnx.NodeProto, place: int) -> bool:
        """Whether an input of a node is stored, and read by that node alone."""
        name = node.input[place] if len(node.input) > place else ""
        return name in self._stored and len(self.readers[name]) == 1 and name not in self._inside

    def store(self, name: str, value: NDArray[Any]) -> None:
        """Give a stored tensor another value, or store a new one."""
        import onnx

        proto = onnx.numpy_helper.from_array(np.ascontiguousarray(value), name)
        if name in self._stored:
            self._stored[name].CopyFrom(proto)
            return
        self.proto.initializer.append(proto)
        self._stored[name] = self.proto.initializer[-1]


def _read_inside(graph: onnx.GraphProto) -> Iterator[str]:
    """The tensors that graphs inside a graph read, however deep, and give."""
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from (name for each in inner.node for name in each.input)
                yield from (value.name for value in inner.output)
                yield from _read_inside(inner)


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """The attributes of a node, by their names."""
    import onnx

    return {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}


def shapes(model: onnx.ModelProto) -> dict[str, list[int | None]]:
    """The shape of each tensor that shape inference knows; None for a free axis."""
    import onnx

    graph = onnx.shape_inference.infer_shapes(model).graph
    values = (*graph.value_info, *graph.input, *graph.output)
    return {
        value.name: [
            each.dim_value if each.HasField("dim_value") else None for each in value.type.tensor_type.shape.dim
        ]
        for value in values
        if value.type.tensor_type.HasField("shape")
    }
