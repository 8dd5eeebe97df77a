"""Nodes that take the place of a fused one, as they are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx

_ACTIVATIONS = ("Relu", "Sigmoid", "Tanh", "LeakyRelu", "HardSigmoid", "Clip")


class Kept(Exception):  # noqa: N818 - no error: the node is left as it is
    """A form of an operator that has no simple equivalent."""


class Writing:
    """What a fused node becomes: standard nodes; the last one gives its first output.

    Args:
        node: the fused node.
        opset: version of the standard operators.
        stored: the stored tensors, by name.
        ranks: numbers of axes of other tensors, where they are known.
    """

    def __init__(
        self, node: onnx.NodeProto, opset: int, stored: Mapping[str, onnx.TensorProto], ranks: Mapping[str, int]
    ) -> None:
        import onnx

        self.node = node
        self.opset = opset
        self.ranks = ranks
        self.attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._stored = stored

    def input(self, place: int) -> str:
        """The name of an input; empty where it is left out."""
        return self.node.input[place] if place < len(self.node.input) else ""

    def inputs(self) -> list[str]:
        """All names of inputs."""
        return list(self.node.input)

    def keep_if(self, condition: bool) -> None:
        """Leave the node as it is.

        Raises:
            Kept: the condition holds.
        """
        if condition:
            raise Kept

    def alone(self, *places: int) -> None:
        """Leave the node as it is where it gives more than its first output, and these."""
        self.keep_if(any(name and place not in (0, *places) for place, name in enumerate(self.node.output)))

    def array(self, name: str) -> np.ndarray:
        """A stored tensor."""
        import onnx

        self.keep_if(name not in self._stored)
        return onnx.numpy_helper.to_array(self._stored[name])

    def constant(self, values: Any, dtype: type = np.float32) -> str:
        """A new stored tensor."""
        import onnx

        name = f"{self.node.output[0]}.stored{len(self.initializers)}"
        self.initializers.append(onnx.numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node; returns the name of its output."""
        import onnx

        main = not self.nodes and self.node.op_type.endswith(operator)
        name = self.node.name if main else f"{self.node.name or self.node.output[0]}/{operator}{len(self.nodes)}"
        made = output or f"{self.node.output[0]}.{operator}{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(operator, list(inputs), [made], name, **attributes))
        return made

    def activation(self, x: str, name: str, parameters: list[float]) -> None:
        """Add an activation function by the name that an attribute has for it."""
        self.keep_if(name not in _ACTIVATIONS)
        if name == "Clip":
            self.add(name, x, *map(self.constant, parameters))
        elif name in ("LeakyRelu", "HardSigmoid"):
            named: dict[str, Any] = dict(zip(("alpha", "beta"), parameters, strict=False))
            self.add(name, x, **named)
        else:
            self.add(name, x)

    def mean(self, x: str) -> str:
        """The mean over the last axis, which stays."""
        if self.opset >= 18:
            return self.add("ReduceMean", x, self.constant([-1], np.int64))
        return self.add("ReduceMean", x, axes=[-1])

    def normalized(self, x: str, scale: str, bias: str, epsilon: float) -> None:
        """Layer normalization over the last axis."""
        if self.opset >= 17:
            self.add("LayerNormalization", *filter(None, (x, scale, bias)), axis=-1, epsilon=epsilon)
            return
        centred = self.add("Sub", x, self.mean(x))
        variance = self.mean(self.add("Mul", centred, centred))
        deviation = self.add("Sqrt", self.add("Add", variance, self.constant(epsilon)))
        scaled = self.add("Mul", self.add("Div", centred, deviation), scale)
        if bias:
            self.add("Add", scaled, bias)

    def scaled(self, x: str, scale: str, epsilon: float) -> None:
        """Root mean square normalization over the last axis."""
        square = self.mean(self.add("Mul", x, x))
        root = self.add("Sqrt", self.add("Add", square, self.constant(epsilon)))
        self.add("Mul", self.add("Div", x, root), scale)


def word(value: Any) -> str:
    """An attribute that is a word, as ONNX has it in bytes or as a string."""
    return value.decode() if isinstance(value, bytes) else str(value)
