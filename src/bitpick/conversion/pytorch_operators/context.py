"""The context of a converter: one ONNX node, and the PyTorch graph that it adds to."""

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
    """One ONNX node, and the graph that its converter adds to.

    Args:
        node: the ONNX node.
        name: its name in the PyTorch graph.
        opset: the version of its operator set.
        assembly: the graph under construction.
        values: the `fx.Node` of each ONNX tensor computed so far, by name.
        constants: each tensor that is stored or was computed at import, by name.
        readers: the nodes that read each tensor, by its name; None stands for the graph's outputs.
    """

    def __init__(
        self,
        node: onnx.NodeProto,
        name: str,
        opset: int,
        assembly: Assembly,
        values: dict[str, fx.Node],
        constants: Mapping[str, NDArray[Any]],
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
        self._constants = constants
        self._readers = readers

    # ---- properties of the node ----

    def attribute(self, name: str, default: Any = None) -> Any:
        """Return an attribute, or its default."""
        value = self.attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def has(self, index: int) -> bool:
        """Return whether an optional input is present."""
        return index < len(self.inputs) and bool(self.inputs[index])

    def reads(self, index: int) -> bool:
        """Return whether anything reads an output."""
        return index < len(self.node.output) and bool(self._readers.get(self.node.output[index]))

    def is_stored(self, index: int) -> bool:
        """Return whether an input is constant, and does not depend on the batch size."""
        return (
            self.has(index)
            and self.inputs[index] in self._constants
            and not has_batch(self._constants[self.inputs[index]])
        )

    def stored(self, index: int, what: str) -> NDArray[Any]:
        """Return a stored input as an array.

        Raises:
            OperatorError: the input is computed.
        """
        if not self.is_stored(index):
            raise self.unsupported(f"a computed {what}")
        return self._constants[self.inputs[index]]

    def integers(self, index: int, what: str) -> list[int]:
        """Return a stored input as a list of integers."""
        return [int(each) for each in self.stored(index, what).reshape(-1)]

    def sizes(self, index: int, what: str) -> list[Size]:
        """Return an input that holds sizes, each a number or a multiple of the batch.

        Raises:
            OperatorError: the sizes are computed from values other than shapes.
        """
        name = self.inputs[index]
        if name not in self._constants:
            raise self.unsupported(f"a computed {what}")
        return sizes(self._constants[name])

    def axes(self, index: int = 1) -> list[int] | None:
        """Return the axes, made non-negative: an attribute in older opsets, an input in newer ones."""
        axes = self.integers(index, "list of axes") if self.has(index) else self.attribute("axes")
        return [axis % max(self.rank(0), 1) for axis in axes] if axes is not None else None

    def axis(self, default: int | None = None) -> int:
        """Return the attribute `axis`, made non-negative."""
        axis = self.attribute("axis", default)
        return int(axis) % max(self.rank(0), 1)

    def shape(self, index: int) -> list[Size | None]:
        """Return the shape of an input: numbers, multiples of the batch, and None for other free axes."""
        name = self.inputs[index]
        return list(self._constants[name].shape) if name in self._constants else self.assembly.shape(self._values[name])

    def fixed_shape(self, index: int, first: int = 0) -> list[int]:
        """Return the shape of an input from axis `first` on.

        Raises:
            OperatorError: one of these axes is free.
        """
        shape = [size for size in self.shape(index)[first:] if isinstance(size, int)]
        if len(shape) != self.rank(index) - first:
            raise self.unsupported(f"a free size in the shape of its input {self.inputs[index]}")
        return shape

    def rank(self, index: int) -> int:
        """Return the number of axes of an input."""
        return len(self.shape(index))

    def dtype(self, index: int) -> torch.dtype:
        """Return the dtype of an input."""
        return self.assembly.dtype(self.value(index))

    def unsupported(self, what: str) -> OperatorError:
        """Return the error for a form of the operator that its converter does not support."""
        return OperatorError(
            f"the node {self.node.name} ({self.kind}, opset {self.opset}) has {what}, "
            "which the PyTorch importer does not support",
            fix="compare only engines that start from ONNX, or give the PyTorch model that it was exported from",
        )

    # ---- what the converter adds to the graph ----

    def value(self, index: int) -> fx.Node:
        """Return an input as a node of the graph; a stored one becomes a buffer.

        Raises:
            OperatorError: the input is computed from the batch size.
        """
        name = self.inputs[index]
        if name not in self._values:
            if not self.is_stored(index):
                raise self.unsupported(f"the input {name}, which is computed from the batch size")
            self._values[name] = self.assembly.buffer(f"{self.name}_constant{index}", self._constants[name])
        return self._values[name]

    def operand(self, index: int) -> Any:
        """Return an input as a plain number if it is a single stored number that adds no axes, else as a node."""
        if self.is_stored(index):
            array = self._constants[self.inputs[index]]
            others = [self.rank(i) for i in range(len(self.inputs)) if i != index]
            if array.size == 1 and array.ndim <= max(others, default=0):
                return array.reshape(-1)[0].item()
        return self.value(index)

    def dimension(self, size: Size) -> Any:
        """Return a size as an argument for a call."""
        return self.assembly.batch(size) if isinstance(size, Batch) else size

    def module(self, module: nn.Module, *inputs: fx.Node, suffix: str = "") -> fx.Node:
        """Call a module on nodes, by default on the first input."""
        return self.assembly.module(self.name + suffix, module, *(inputs or (self.value(0),)))

    def call(self, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> fx.Node:
        """Call a function; arguments are nodes and plain values."""
        return self.assembly.function(self.name, function, *arguments, **keywords)

    def method(self, method: str, *arguments: Any) -> fx.Node:
        """Call a method of a tensor; the first argument is the tensor."""
        return self.assembly.method(self.name, method, *arguments)

    def item(self, node: fx.Node, index: Any) -> fx.Node:
        """Return an element of a tuple, or a part of a tensor."""
        return self.call(operator.getitem, node, index)

    def absorb_bias(self, size: int) -> NDArray[Any] | None:
        """Return the stored bias that an Add adds to the output, if nothing else reads the output; absorb that Add.

        Args:
            size: the size of the last axis, along which the bias lies.
        """
        readers = self._readers.get(self.node.output[0], [])
        if len(readers) != 1 or readers[0] is None or readers[0].op_type != "Add":
            return None
        (other,) = [name for name in readers[0].input if name != self.node.output[0]] or [""]
        bias = self._constants.get(other)
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
    """Return a stored array as a parameter without gradients."""
    import torch

    return torch.nn.Parameter(torch.from_numpy(np.array(array, order="C")), requires_grad=False)
