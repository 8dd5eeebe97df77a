"""The graph that OpenVINO executes: its runtime model, with the number grids of the IR that it was compiled from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.engines.executed import FLOATS, INTEGERS, Executed, Operator, activation_grid, weight_grid
from bitpick.engines.openvino import work
from bitpick.preprocessing import Arrays
from bitpick.schema.fingerprint import Grid

WEIGHTED = {
    "Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData", "MatMul",
}  # fmt: skip
_RUNS = {"If", "Loop", "TensorIterator"}  # operators with subgraphs
_PARTS = {"MatMul", "FullyConnected", "RNNSeq", "RNNCell"}  # operators into which the runtime may decompose another
_CONVERSIONS = {"FakeQuantize", "Convert"}
_TRANSPOSES = {"Reorder", "Transpose"}
# Operators that only move data or convert its format.
_PLUMBING = _CONVERSIONS | _TRANSPOSES | {
    "Input", "Output", "Const", "Reshape", "Concatenation", "Split",
    "Broadcast", "ShapeOf", "Gather", "StridedSlice",
}  # fmt: skip
DYNAMIC_GROUP = "DYNAMIC_QUANTIZATION_GROUP_SIZE"  # of activations that are rounded at run time; 0 rounds none
_DTYPES = {"f32": "float32", "f16": "float16", "bf16": "bfloat16", "i4": "s4", "i8": "s8", "u8": "u8"}


def executed(compiled: Any, source: Any, sample: Arrays) -> Executed:
    """Return what a compiled model executes.

    Args:
        compiled: an `openvino.CompiledModel`.
        source: the `openvino.Model` that it was compiled from.
        sample: a batch of one sample, which fixes all shapes.
    """
    source = source.clone()
    source.reshape({port: list(array.shape) for port, array in zip(source.inputs, sample, strict=True)})
    nodes = compiled.get_runtime_model().get_ordered_ops()
    operators = _Reader(source, int(compiled.get_property(DYNAMIC_GROUP)) > 0).operators(nodes)
    ports = (compiled.inputs[0], compiled.outputs[0])
    input_dtype, output_dtype = (_DTYPES.get(port.get_element_type().get_type_name(), "") for port in ports)
    moves = [
        (node.get_rt_info()["layerType"].value, node.get_friendly_name()) for node in nodes if not _runs_once(node)
    ]
    return Executed(
        tuple(operator for operator in operators if operator.arithmetic in INTEGERS | FLOATS or operator.weights),
        input_dtype,
        output_dtype,
        conversions=tuple(f"{kind} {name}" for kind, name in moves if kind in _CONVERSIONS),
        transposes=tuple(f"{kind} {name}" for kind, name in moves if kind in _TRANSPOSES),
    )


class _Reader:
    """Reads the operators of a runtime model, and those in loops and branches, which the runtime model omits.

    Args:
        source: the model that it was compiled from, with all shapes fixed.
        dynamic: whether the runtime may round float activations to multiply them with integer weights.
    """

    def __init__(self, source: Any, dynamic: bool) -> None:
        self._dynamic = dynamic
        self._ops = source.get_ordered_ops()
        self._layers = [op for op in self._ops if work.multiplies(op)]
        self._counted: set[str] = set()

    def operators(self, nodes: Iterable[Any]) -> list[Operator]:
        """Return every operator that computes, in the runtime's order, followed by the table lookups."""
        operators: list[Operator] = []
        remaining = {op.get_friendly_name(): op for op in self._layers}
        expanded: list[Any] = []
        part_dtypes: list[str] = []
        for node in nodes:
            info = node.get_rt_info()
            kind, precision = info["layerType"].value, info["runtimePrecision"].value
            arithmetic = _DTYPES.get(precision, precision)
            if arithmetic in INTEGERS and not self._dynamic and _reads_floats(node):
                arithmetic = "float32"  # the runtime tells the dtype of its weights, which it dequantizes
            # A fused node carries the names of all its parts; a rewritten node has a name below the original's.
            names = info["originalLayersNames"].value
            parent = next((op for op in self._ops if op.get_type_name() in _RUNS and _listed(_name(op), names)), None)
            if parent is not None and parent not in expanded:
                expanded.append(parent)
                operators += map(self._inner, work.inside(parent))
            if parent is not None:
                continue
            if kind in _PLUMBING:
                continue
            layer = next((op for op in self._layers if any(_listed(name, names) for name in _names(op))), None)
            if layer is None and kind in _PARTS:
                part_dtypes.append(arithmetic)
            elif layer is None:
                operators.append(Operator(node.get_friendly_name(), kind, arithmetic))
            else:
                remaining.pop(layer.get_friendly_name(), None)
                operators.append(self._operator(layer, kind, arithmetic))
        # The runtime decomposes an einsum and the two directions of an LSTM, and the parts have new names.
        dtype = next(
            (d for d in part_dtypes if d not in INTEGERS),
            part_dtypes[0] if part_dtypes else "float32",
        )
        operators += [self._operator(op, op.get_type_name(), dtype) for op in remaining.values()]
        return operators + list(self._tables())

    def _inner(self, inner: work.Inner) -> Operator:
        """Return an operator of a subgraph, as float32: the runtime does not show whether it is quantized."""
        return self._operator(inner.op, inner.op.get_type_name(), "float32", inner.times, inner.invariants)

    def _operator(
        self, layer: Any, kind: str, arithmetic: str, times: int | None = 1, invariants: frozenset[str] = frozenset()
    ) -> Operator:
        name = layer.get_friendly_name().removesuffix("/WithoutBiases")
        values = [layer.input_value(place) for place in work.places(layer) if place < layer.get_input_size()]
        weights = [value for value in values if work.constant(value, invariants)]
        macs = work.macs(layer)
        work_done, uncounted = (macs or 0) * (times or 0), macs is None or times is None
        if not weights:
            return Operator(name, kind, arithmetic, macs=work_done, uncounted=uncounted)
        stored = _stored(weights[0].get_node(), _channels(layer, weights[0]))
        grid = Grid(dtype="float32") if stored is None else stored[1]
        return Operator(
            name,
            kind,
            arithmetic,
            weight=grid if grid.dtype in INTEGERS else Grid(dtype=arithmetic),
            activation=_activation(next((v for v in layer.input_values() if v not in weights), weights[0]), arithmetic),
            weights=sum(map(self._size, weights)),
            macs=work_done,
            uncounted=uncounted,
        )

    def _tables(self) -> Iterator[Operator]:
        for op in self._ops:
            place = work.TABLES.get(op.get_type_name())
            if place is None or not work.constant(op.input_value(place)):
                continue
            stored = _stored(op.input_value(place).get_node(), None)
            if stored is not None and stored[0].ndim > 1 and stored[1].dtype in INTEGERS | FLOATS:
                size = self._size(op.input_value(place))
                yield Operator(op.get_friendly_name(), op.get_type_name(), "float32", stored[1], weights=size)

    def _size(self, value: Any) -> int:
        """Return how many weights a stored operand adds to those already counted."""
        name = value.get_node().get_friendly_name()
        new = name not in self._counted
        self._counted.add(name)
        return work.size(value) if new else 0


def _name(op: Any) -> str:
    name: str = op.get_friendly_name()
    return name


def _channels(layer: Any, value: Any) -> int | None:
    """Return the number of output channels of a layer's weights; None if unknown."""
    kind, shape = layer.get_type_name(), tuple(value.get_shape())
    if kind == "MatMul":
        first = layer.input_value(0) == value
        transposed = layer.get_attributes()["transpose_a" if first else "transpose_b"]
        return int(shape[-2 if first != transposed else -1]) if len(shape) > 1 else 1
    if "Convolution" not in kind:
        return None
    grouped = kind.startswith("Group")
    outputs = grouped + kind.endswith("BackpropData")
    return int(shape[outputs] * (shape[0] if grouped else 1))


def _runs_once(node: Any) -> bool:
    """Return whether a node reads only constants, so that it runs just once, when the model is compiled."""
    makers = [source.get_source_output().get_node() for source in node.inputs()]
    return bool(makers) and all(maker.get_rt_info()["layerType"].value == "Const" for maker in makers)


def _reads_floats(node: Any) -> bool:
    """Return whether a runtime node multiplies float data."""
    return node.get_input_size() > 0 and node.get_input_element_type(0).get_type_name() in ("f32", "f16", "bf16")


def _names(layer: Any) -> list[str]:
    """Return the names by which a runtime node may refer to a layer: its own, and that of the bias fused into it."""
    users = [target.get_node() for target in layer.output(0).get_target_inputs()]
    adds = [user for user in users if user.get_type_name() == "Add"]
    biases = [
        add for add in adds if any(i.get_source_output().get_node().get_type_name() == "Constant" for i in add.inputs())
    ]
    return [layer.get_friendly_name(), *(add.get_friendly_name() for add in biases)]


def _listed(layer: str, names: str) -> bool:
    """Return whether a layer, or a name below it, is in a comma-separated list of names, which may contain commas."""
    return any(part in f",{names}," for part in (f",{layer},", f",{layer}/"))


def _stored(node: Any, channels: int | None) -> tuple[Any, Grid] | None:
    """Return the weights behind an operator's input and the grid they are stored in; None if they are computed.

    The IR stores quantized weights as an integer constant, followed by Convert, Subtract (the zero points) and Multiply
    (the scales).
    """
    zeros, scales = np.zeros(1), 1
    while node.get_type_name() in ("Multiply", "Subtract", "Convert", "Reshape", "Transpose"):
        if node.get_type_name() in ("Multiply", "Subtract"):
            other = node.input_value(1).get_node()
            while other.get_type_name() in ("Convert", "Reshape"):
                other = other.input_value(0).get_node()
            if other.get_type_name() != "Constant":
                return None
            if node.get_type_name() == "Multiply":
                scales = int(other.get_data().size)
            else:
                zeros = other.get_data()
        node = node.input_value(0).get_node()
    if node.get_type_name() != "Constant":
        return None
    values = stored_values(node)
    dtype = _DTYPES.get(node.get_element_type().get_type_name(), "float32")
    return values, weight_grid(values, zeros, scales, dtype, channels) if dtype in INTEGERS else Grid(dtype=dtype)


def _activation(value: Any, arithmetic: str) -> Grid:
    """Return the grid of a layer's input: if the layer runs in integers, that of the FakeQuantize before it."""
    node = value.get_node()
    while arithmetic in ("s8", "u8") and node.get_type_name() != "FakeQuantize" and node.get_input_size():
        node = node.input_value(0).get_node()
    if node.get_type_name() != "FakeQuantize":
        return Grid(dtype=arithmetic)
    low, high = (float(node.input_value(place).get_node().get_data().ravel()[0]) for place in (1, 2))
    levels = node.get_attributes()["levels"]
    from_zero = round(-low * (levels - 1) / (high - low))  # the level of zero, counted from the lowest
    return activation_grid(arithmetic, from_zero - (128 if arithmetic == "s8" else 0), round(math.log2(levels)))


def constants(source: Any) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield name and value of each constant in a model."""
    for op in source.get_ops():
        if op.get_type_name() == "Constant":
            yield op.get_friendly_name(), stored_values(op)


def stored_values(constant: Any) -> NDArray[Any]:
    """Return the values of a constant; OpenVINO itself gives four-bit integers as they are packed, two in a byte."""
    packed: NDArray[Any] = constant.get_data()
    if constant.get_element_type().get_type_name() != "i4":
        return packed
    bytes_ = packed.view(np.uint8).ravel()
    nibbles = np.stack([bytes_ & 15, bytes_ >> 4], axis=1).ravel()[: math.prod(constant.get_shape())]
    return ((nibbles ^ 8).astype(np.int8) - np.int8(8)).reshape(constant.get_shape())
