"""What a converter works with: one ONNX node, and the PyTorch graph that it adds to."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bitpick.conversion.pytorch_operators.assembly import Assembly
from bitpick.conversion.pytorch_operators.sizes import Batch, Size, has_batch, sizes
from bitpick.errors import OperatorError

if TYPE_CHECKING:
    import onnx
    import torch
    from torch import fx, nn


class Context:
    """One ONNX node.

    Args:
        node: the ONNX node.
        name: its name in the PyTorch graph.
        opset: version of its operator set.
        assembly: the graph under construction.
        values: the `fx.Node` of each ONNX tensor computed so far, by name.
        known: each tensor that is stored or was computed at import, by name.
        readers: the nodes that read each tensor, by its name; None stands for the graph's own outputs.
    """

    def __init__(
        self,
        node: onnx.NodeProto,
        name: str,
        opset: int,
        assembly: Assembly,
        values: dict[str, fx.Node],
        known: Mapping[str, NDArray[Any]],
        readers: Mapping[str, list[onnx.NodeProto | None]],
    ) -> None:
        import onnx as onnx_library

        self.node = node
        self.kind = node.op_type
        self.opset = opset
        self.inputs = list(node.input)
        self.attributes = {a.name: onnx_library.helper.get_attribute_value(a) for a in node.attribute}
        self.name = name
        self.assembly = assembly
        self.absorbed: onnx.NodeProto | None = None
        self._values = values
        self._known = known
        self._readers = readers

    # ---- what the node has ----

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute, or its default."""
        value = self.attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def has(self, index: int) -> bool:
        """Whether the optional input is there."""
        return index < len(self.inputs) and bool(self.inputs[index])

    def reads(self, index: int) -> bool:
        """Whether anything reads the output."""
        return index < len(self.node.output) and bool(self._readers.get(self.node.output[index]))

    def is_stored(self, index: int) -> bool:
        """Whether an input is known without running anything."""
        return self.has(index) and self.inputs[index] in self._known and not has_batch(self._known[self.inputs[index]])

    def stored(self, index: int, what: str) -> NDArray[Any]:
        """A stored input, as an array.

        Raises:
            OperatorError: the input is computed.
        """
        if not self.is_stored(index):
            raise self.unsupported(f"a computed {what}")
        return self._known[self.inputs[index]]

    def integers(self, index: int, what: str) -> list[int]:
        """A stored input, as a list of integers."""
        return [int(each) for each in self.stored(index, what).reshape(-1)]

    def sizes(self, index: int, what: str) -> list[Size]:
        """An input that has sizes, each a number or a multiple of the batch.

        Raises:
            OperatorError: they are computed from something else.
        """
        name = self.inputs[index]
        if name not in self._known:
            raise self.unsupported(f"a computed {what}")
        return sizes(self._known[name])

    def axes(self, index: int = 1) -> list[int] | None:
        """Axes, counted from the first one: an attribute in older opsets, an input in newer ones."""
        axes = self.integers(index, "list of axes") if self.has(index) else self.attribute("axes")
        return [axis % max(self.rank(0), 1) for axis in axes] if axes is not None else None

    def axis(self, default: int | None = None) -> int:
        """The attribute `axis`, counted from the first one."""
        axis = self.attribute("axis", default)
        return int(axis) % max(self.rank(0), 1)

    def shape(self, index: int) -> list[Size | None]:
        """Shape of an input: numbers, multiples of the batch, None for what is free beside it."""
        name = self.inputs[index]
        return list(self._known[name].shape) if name in self._known else self.assembly.shape(self._values[name])

    def fixed_shape(self, index: int, first: int = 0) -> list[int]:
        """Shape of an input from some axis on.

        Raises:
            OperatorError: one of these axes is free.
        """
        shape = [size for size in self.shape(index)[first:] if isinstance(size, int)]
        if len(shape) != self.rank(index) - first:
            raise self.unsupported(f"a free size in the shape of its input {self.inputs[index]}")
        return shape

    def rank(self, index: int) -> int:
        """The number of axes of an input."""
        return len(self.shape(index))

    def dtype(self, index: int) -> torch.dtype:
        """Type of an input's elements."""
        return self.assembly.dtype(self.value(index))

    def unsupported(self, what: str) -> OperatorError:
        """The error for a form of the operator that its converter does not know."""
        return OperatorError(
            f"the node {self.node.name} ({self.kind}, opset {self.opset}) has {what}, "
            "which the PyTorch importer does not support",
            fix="compare only engines that start from ONNX, or give the PyTorch model that it was exported from",
        )

    # ---- what the converter adds ----

    def value(self, index: int) -> fx.Node:
        """An input as a node of the graph; a stored one becomes a buffer.

        Raises:
            OperatorError: it is a number computed from the batch size.
        """
        name = self.inputs[index]
        if name not in self._values:
            if not self.is_stored(index):
                raise self.unsupported(f"the input {name}, which is computed from the batch size")
            self._values[name] = self.assembly.buffer(f"{self.name}_constant{index}", self._known[name])
        return self._values[name]

    def operand(self, index: int) -> Any:
        """An input as a plain number where it is one stored number that broadcasts away, else as a node."""
        if self.is_stored(index):
            array = self._known[self.inputs[index]]
            others = [self.rank(i) for i in range(len(self.inputs)) if i != index]
            if array.size == 1 and array.ndim <= max(others, default=0):
                return array.reshape(-1)[0].item()
        return self.value(index)

    def dimension(self, size: Size) -> Any:
        """A size as an argument of a call."""
        return self.assembly.batch(size) if isinstance(size, Batch) else size

    def module(self, module: nn.Module, *inputs: fx.Node, suffix: str = "") -> fx.Node:
        """Call a module on nodes; by default on the first input."""
        return self.assembly.module(self.name + suffix, module, *(inputs or (self.value(0),)))

    def call(self, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> fx.Node:
        """Call a function on nodes and plain values."""
        return self.assembly.function(self.name, function, *arguments, **keywords)

    def method(self, method: str, *arguments: Any) -> fx.Node:
        """Call a method of a tensor, the first argument."""
        return self.assembly.method(self.name, method, *arguments)

    def item(self, node: fx.Node, index: Any) -> fx.Node:
        """An element of a tuple, or a part of a tensor."""
        return self.call(operator.getitem, node, index)

    def absorb_bias(self, size: int) -> NDArray[Any] | None:
        """The stored bias that an Add puts on the output, if that is all that reads it; the Add is done with then.

        Args:
            size: of the last axis, along which the bias goes.
        """
        readers = self._readers.get(self.node.output[0], [])
        if len(readers) != 1 or readers[0] is None or readers[0].op_type != "Add":
            return None
        (other,) = [name for name in readers[0].input if name != self.node.output[0]] or [""]
        bias = self._known.get(other)
        if (
            bias is None
            or has_batch(bias)
            or bias.shape[-1:] != (size,)
            or bias.size != size
            or bias.ndim > self.rank(0)
        ):
            return None
        self.absorbed = readers[0]
        return bias.reshape(-1)


def parameter(array: NDArray[Any]) -> torch.nn.Parameter:
    """A stored array as a parameter that is not trained further."""
    import torch

    return torch.nn.Parameter(torch.from_numpy(np.array(array, order="C")), requires_grad=False)
