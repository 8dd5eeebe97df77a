"""A graph for passes to change, with lookups: producers and readers of tensors, and constants."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx


class Graph:
    """A graph to change.

    Args:
        model: the model with this main graph.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
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
        self._subgraph_tensors = {name for node in model.graph.node for name in used_in_subgraphs(node)}

    def constant(self, name: str) -> NDArray[Any] | None:
        """Return the value of a stored tensor; None if the tensor is computed."""
        import onnx

        stored = self._stored.get(name)
        return None if stored is None else onnx.numpy_helper.to_array(stored)

    def only_reader(self, tensor: str) -> onnx.NodeProto | None:
        """Return the only node that reads a tensor; None if anything else uses the tensor."""
        readers = self.readers[tensor]
        only_one = len(readers) == 1 and self.private(tensor)
        return readers[0] if only_one and list(readers[0].input).count(tensor) == 1 else None

    def private(self, tensor: str) -> bool:
        """Return whether only nodes of the main graph use a tensor: it is no output, and no subgraph reads it."""
        return tensor not in self.outputs and tensor not in self._subgraph_tensors

    def owned(self, node: onnx.NodeProto, place: int) -> bool:
        """Return whether an input of a node is stored and no other node reads it."""
        name = node.input[place] if len(node.input) > place else ""
        return name in self._stored and len(self.readers[name]) == 1 and name not in self._subgraph_tensors

    def store(self, name: str, value: NDArray[Any]) -> None:
        """Set the value of a stored tensor, or add a new one."""
        import onnx

        proto = onnx.numpy_helper.from_array(np.ascontiguousarray(value), name)
        if name in self._stored:
            self._stored[name].CopyFrom(proto)
            return
        self.proto.initializer.append(proto)
        self._stored[name] = self.proto.initializer[-1]


def used_in_subgraphs(node: onnx.NodeProto) -> Iterator[str]:
    """Yield the tensors that a node's subgraphs at any depth read or return."""
    for attribute in node.attribute:
        for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            yield from (value.name for value in inner.output)
            for each in inner.node:
                yield from each.input
                yield from used_in_subgraphs(each)


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Return the attributes of a node by name."""
    import onnx

    return {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}


def shapes(model: onnx.ModelProto) -> dict[str, list[int | None]]:
    """Return the inferred shape of each tensor; free axes are None."""
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
