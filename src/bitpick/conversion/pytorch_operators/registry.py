"""Which converter handles which operator, and what a converter works with."""

from __future__ import annotations

import importlib
import keyword
import pkgutil
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bitpick.conversion import pytorch_operators
from bitpick.errors import OperatorError

if TYPE_CHECKING:
    import onnx
    import torch
    from torch import fx, nn

Converter = Callable[["Context"], "fx.Node"]

_converters: dict[str, Converter] = {}


def operator(*names: str) -> Callable[[Converter], Converter]:
    """Register a converter for ONNX operators of the standard domain; a second one for the same operator is refused."""

    def register(converter: Converter) -> Converter:
        for name in names:
            if name in _converters:
                raise ValueError(f"{name} has a converter already: {_converters[name].__name__}")
            _converters[name] = converter
        return converter

    return register


def converters() -> Mapping[str, Converter]:
    """Every registered converter, by operator."""
    for info in pkgutil.iter_modules(pytorch_operators.__path__):
        importlib.import_module(f"{pytorch_operators.__name__}.{info.name}")
    return _converters


class Context:
    """One ONNX node, and the PyTorch graph that its converter adds to.

    Args:
        node: the ONNX node.
        name: its name in the PyTorch graph.
        opset: version of its operator set.
        graph: the graph under construction.
        modules: its modules, by name.
        values: the `fx.Node` of each ONNX tensor computed so far.
        constants: the stored tensors, by name.
        shapes: the shape of each tensor, where known; None for a free dimension.
    """

    def __init__(
        self,
        node: onnx.NodeProto,
        name: str,
        opset: int,
        graph: fx.Graph,
        modules: nn.Module,
        values: dict[str, fx.Node],
        constants: Mapping[str, NDArray[Any]],
        shapes: Mapping[str, list[int | None]],
    ) -> None:
        import onnx as onnx_library

        self.node = node
        self.opset = opset
        self.inputs = list(node.input)
        self.attributes = {a.name: onnx_library.helper.get_attribute_value(a) for a in node.attribute}
        self.name = name
        self._graph = graph
        self._modules = modules
        self._values = values
        self._constants = constants
        self._shapes = shapes

    # ---- what the node has ----

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute, or its default."""
        value = self.attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def has(self, index: int) -> bool:
        """Whether the optional input is there."""
        return index < len(self.inputs) and bool(self.inputs[index])

    def constant(self, index: int, what: str) -> NDArray[Any]:
        """A stored input, as an array.

        Raises:
            OperatorError: the input is computed.
        """
        name = self.inputs[index]
        if name not in self._constants:
            raise self.unsupported(f"a computed {what}")
        return self._constants[name]

    def is_constant(self, index: int) -> bool:
        """Whether an input is stored in the graph."""
        return self.inputs[index] in self._constants

    def shape(self, index: int) -> list[int | None]:
        """Shape of an input; None for a free dimension.

        Raises:
            OperatorError: nothing is known of it.
        """
        name = self.inputs[index]
        if name in self._constants:
            return list(self._constants[name].shape)
        if name not in self._shapes:
            raise self.unsupported(f"the unknown shape of its input {name}")
        return self._shapes[name]

    def unsupported(self, what: str) -> OperatorError:
        """The error for a form of the operator that its converter does not know."""
        return OperatorError(
            f"the node {self.node.name} ({self.node.op_type}, opset {self.opset}) has {what}, "
            "which the PyTorch importer does not support"
        )

    # ---- what the converter adds ----

    def value(self, index: int) -> fx.Node:
        """An input as a node of the graph; a stored one becomes a buffer."""
        name = self.inputs[index]
        if name not in self._values:
            import torch

            buffer = f"{self.name}_constant{index}"
            self._modules.register_buffer(buffer, torch.from_numpy(np.array(self._constants[name])))
            self._values[name] = self._graph.get_attr(buffer)
        return self._values[name]

    def module(self, module: nn.Module, *inputs: fx.Node, suffix: str = "") -> fx.Node:
        """Call a module on nodes; by default on the first input."""
        name = self.name + suffix
        self._modules.add_module(name, module)
        return self._graph.create_node("call_module", name, inputs or (self.value(0),), name=name)

    def call(self, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> fx.Node:
        """Call a function on nodes and plain values."""
        return self._graph.create_node("call_function", function, arguments, keywords, name=self.name)


Pads = list[tuple[int, int]]


def padded(context: Context, pads: Pads, value: float) -> tuple[fx.Node, tuple[int, ...]]:
    """The first input, behind a padding module of its own where the sides of an axis differ.

    Args:
        context: the node.
        pads: padding before and after each spatial axis.
        value: what to pad with.

    Returns:
        The node, and the padding that is left for the operator itself to do on both sides of each axis.
    """
    from torch import nn

    if all(before == after for before, after in pads):
        return context.value(0), tuple(before for before, _ in pads)
    module = (nn.ConstantPad1d, nn.ConstantPad2d, nn.ConstantPad3d)[len(pads) - 1]
    flat: Any = tuple(side for pair in reversed(pads) for side in pair)  # PyTorch counts from the last axis
    return context.module(module(flat, value), context.value(0), suffix="_pad"), (0,) * len(pads)


def fx_names(nodes: Iterable[onnx.NodeProto]) -> dict[str, str]:
    """A different identifier for each ONNX node, by its name: what `torch.fx` wants of its nodes and modules."""
    from torch import nn

    reserved = set(dir(nn.Module())) | {"input"}
    names: dict[str, str] = {}
    for node in nodes:
        identifier = re.sub(r"\W", "_", node.name)
        if not identifier.isidentifier() or keyword.iskeyword(identifier) or identifier in reserved:
            identifier = f"node_{identifier}"
        candidate, attempt = identifier, 2
        while candidate in names.values():
            candidate, attempt = f"{identifier}_{attempt}", attempt + 1
        names[node.name] = candidate
    return names


def parameter(array: NDArray[Any]) -> torch.nn.Parameter:
    """A stored array as a parameter that is not trained further."""
    import torch

    return torch.nn.Parameter(torch.from_numpy(np.array(array, order="C")), requires_grad=False)


def spatial_pads(context: Context, kernel: list[int], strides: list[int], dilations: list[int]) -> Pads:
    """Padding before and after each spatial axis, also where it is given as `auto_pad`."""
    mode = context.attribute("auto_pad", "NOTSET")
    rank = len(kernel)
    if mode in ("NOTSET", "VALID"):
        pads = context.attribute("pads", [0] * 2 * rank) if mode == "NOTSET" else [0] * 2 * rank
        return list(zip(pads[:rank], pads[rank:], strict=True))
    found = []
    for size, k, stride, dilation in zip(context.shape(0)[2:], kernel, strides, dilations, strict=True):
        if size is None:
            raise context.unsupported(f"auto_pad {mode} on an axis of unknown size")
        total = max((-(-size // stride) - 1) * stride + (k - 1) * dilation + 1 - size, 0)
        small, large = total // 2, total - total // 2
        found.append((small, large) if mode == "SAME_UPPER" else (large, small))
    return found
