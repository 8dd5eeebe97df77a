"""Build the standard nodes that replace a fused node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx

_ACTIVATIONS = ("Relu", "Sigmoid", "Tanh", "LeakyRelu", "HardSigmoid", "Clip")


class KeepNode(Exception):  # noqa: N818 - not an error: the node stays as it is
    """Raised for a form of an operator that has no simple equivalent."""


class Expansion:
    """The standard nodes that replace a fused node; the last one computes its first output.

    Args:
        node: the fused node.
        opset: the version of the standard operators.
        stored: the stored tensors, by name.
        ranks: the number of axes of other tensors, if known, by name.
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

    def input(self, index: int) -> str:
        """Return the name of an input; empty if it is omitted."""
        return self.node.input[index] if index < len(self.node.input) else ""

    def inputs(self) -> list[str]:
        """Return the names of all inputs."""
        return list(self.node.input)

    def keep_if(self, condition: bool) -> None:
        """Keep the fused node if a condition holds.

        Raises:
            KeepNode: the condition holds.
        """
        if condition:
            raise KeepNode

    def keep_if_outputs_beyond(self, *indices: int) -> None:
        """Keep the fused node if it has outputs other than the first one and these."""
        self.keep_if(any(name and index not in (0, *indices) for index, name in enumerate(self.node.output)))

    def array(self, name: str) -> np.ndarray:
        """Return a stored tensor; keep the fused node if the tensor is computed."""
        import onnx

        self.keep_if(name not in self._stored)
        return onnx.numpy_helper.to_array(self._stored[name])

    def constant(self, values: Any, dtype: type = np.float32) -> str:
        """Add a stored tensor; return its name."""
        import onnx

        name = f"{self.node.output[0]}.stored{len(self.initializers)}"
        self.initializers.append(onnx.numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node; return the name of its output."""
        import onnx

        is_main = not self.nodes and self.node.op_type.endswith(operator)
        name = self.node.name if is_main else f"{self.node.name or self.node.output[0]}/{operator}{len(self.nodes)}"
        result = output or f"{self.node.output[0]}.{operator}{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(operator, list(inputs), [result], name, **attributes))
        return result

    def add_activation(self, x: str, name: str, parameters: list[float]) -> None:
        """Add an activation function, by the name that attributes use for it."""
        self.keep_if(name not in _ACTIVATIONS)
        if name == "Clip":
            self.add(name, x, *map(self.constant, parameters))
        elif name in ("LeakyRelu", "HardSigmoid"):
            options: dict[str, Any] = dict(zip(("alpha", "beta"), parameters, strict=False))
            self.add(name, x, **options)
        else:
            self.add(name, x)

    def add_mean(self, x: str) -> str:
        """Add a mean over the last axis, which stays with size 1; return the name of its output."""
        if self.opset >= 18:
            return self.add("ReduceMean", x, self.constant([-1], np.int64))
        return self.add("ReduceMean", x, axes=[-1])

    def add_layer_norm(self, x: str, scale: str, bias: str, epsilon: float) -> None:
        """Add a layer normalization over the last axis."""
        if self.opset >= 17:
            self.add("LayerNormalization", *filter(None, (x, scale, bias)), axis=-1, epsilon=epsilon)
            return
        centred = self.add("Sub", x, self.add_mean(x))
        variance = self.add_mean(self.add("Mul", centred, centred))
        deviation = self.add("Sqrt", self.add("Add", variance, self.constant(epsilon)))
        product = self.add("Mul", self.add("Div", centred, deviation), scale)
        if bias:
            self.add("Add", product, bias)

    def add_rms_norm(self, x: str, scale: str, epsilon: float) -> None:
        """Add a root mean square normalization over the last axis."""
        square = self.add_mean(self.add("Mul", x, x))
        root = self.add("Sqrt", self.add("Add", square, self.constant(epsilon)))
        self.add("Mul", self.add("Div", x, root), scale)


def text(value: Any) -> str:
    """Return a text attribute as a string: ONNX stores it as bytes."""
    return value.decode() if isinstance(value, bytes) else str(value)
