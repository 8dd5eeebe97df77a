"""What OpenVINO executes: its runtime model, with the number grids of the IR that it was compiled from."""

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
_RUNS = {"If", "Loop", "TensorIterator"}  # operators that run bodies of their own
_PARTS = {"MatMul", "FullyConnected", "RNNSeq", "RNNCell"}  # what an operator may be taken apart into
_CONVERSIONS = {"FakeQuantize", "Convert"}
_TRANSPOSES = {"Reorder", "Transpose"}
# They only move numbers, or write them in another format.
_PLUMBING = _CONVERSIONS | _TRANSPOSES | {
    "Input", "Output", "Const", "Reshape", "Concatenation", "Split",
    "Broadcast", "ShapeOf", "Gather", "StridedSlice",
}  # fmt: skip
_DTYPES = {"f32": "float32", "f16": "float16", "bf16": "bfloat16", "i8": "s8", "u8": "u8"}


def executed(compiled: Any, source: Any, sample: Arrays) -> Executed:
    """Read off what a compiled model executes.

    Args:
        compiled: an `openvino.CompiledModel`.
        source: the `openvino.Model` that it was compiled from.
        sample: a batch of one sample: it makes all shapes known.
    """
    source = source.clone()
    source.reshape({port: list(each.shape) for port, each in zip(source.inputs, sample, strict=True)})
    nodes = compiled.get_runtime_model().get_ordered_ops()
    operators = _Reader(source).operators(nodes)
    ends = (compiled.inputs[0], compiled.outputs[0])
    first, last = (_DTYPES.get(end.get_element_type().get_type_name(), "") for end in ends)
    moves = [(node.get_rt_info()["layerType"].value, node.get_friendly_name()) for node in nodes if not _once(node)]
    return Executed(
        tuple(o for o in operators if o.arithmetic in INTEGERS | FLOATS or o.weights),
        first,
        last,
        conversions=tuple(f"{kind} {name}" for kind, name in moves if kind in _CONVERSIONS),
        transposes=tuple(f"{kind} {name}" for kind, name in moves if kind in _TRANSPOSES),
    )


class _Reader:
    """Reads the operators of a runtime model, and of the bodies of loops and branches, which it does not show.

    Args:
        source: the model that it was compiled from, with all shapes.
    """

    def __init__(self, source: Any) -> None:
        self._ops = source.get_ordered_ops()
        self._layers = [op for op in self._ops if work.multiplies(op)]
        self._counted: set[str] = set()

    def operators(self, nodes: Iterable[Any]) -> list[Operator]:
        """Every operator that computes, in the runtime's order; then the tables in which rows are looked up."""
        found: list[Operator] = []
        left = {op.get_friendly_name(): op for op in self._layers}
        ran: list[Any] = []
        rewritten: list[str] = []
        for node in nodes:
            told = node.get_rt_info()
            kind, precision = told["layerType"].value, told["runtimePrecision"].value
            arithmetic = _DTYPES.get(precision, precision)
            # A node that swallowed others has their names; a rewritten one has a name under the original's.
            names = told["originalLayersNames"].value
            runs = next((op for op in self._ops if op.get_type_name() in _RUNS and _among(_name(op), names)), None)
            if runs is not None and runs not in ran:
                ran.append(runs)
                found += map(self._inner, work.inside(runs))
            if runs is not None:
                continue
            if kind in _PLUMBING:
                continue
            layer = next((op for op in self._layers if any(_among(name, names) for name in _names(op))), None)
            if layer is None and kind in _PARTS:
                rewritten.append(arithmetic)
            elif layer is None:
                found.append(Operator(node.get_friendly_name(), kind, arithmetic))
            else:
                left.pop(layer.get_friendly_name(), None)
                found.append(self._operator(layer, kind, arithmetic))
        # The runtime takes an einsum apart, and both directions of an LSTM: their parts have names of their own.
        dtype = next((each for each in rewritten if each not in INTEGERS), rewritten[0] if rewritten else "float32")
        found += [self._operator(op, op.get_type_name(), dtype) for op in left.values()]
        return found + list(self._tables())

    def _inner(self, inner: work.Inner) -> Operator:
        """An operator of a body. The runtime does not show it: nothing there is known to be rounded."""
        return self._operator(inner.op, inner.op.get_type_name(), "float32", inner.times, inner.handed)

    def _operator(
        self, layer: Any, kind: str, arithmetic: str, times: int | None = 1, handed: frozenset[str] = frozenset()
    ) -> Operator:
        name = layer.get_friendly_name().removesuffix("/WithoutBiases")
        values = [layer.input_value(place) for place in work.places(layer) if place < layer.get_input_size()]
        kept = [value for value in values if work.constant(value, handed)]
        macs = work.macs(layer)
        done, uncounted = (macs or 0) * (times or 0), macs is None or times is None
        if not kept:
            return Operator(name, kind, arithmetic, macs=done, uncounted=uncounted)
        stored = _stored(kept[0].get_node(), _channels(layer, kept[0]))
        grid = Grid(dtype="float32") if stored is None else stored[1]
        return Operator(
            name,
            kind,
            arithmetic,
            weight=grid if grid.dtype in INTEGERS else Grid(dtype=arithmetic),
            activation=_activation(next((v for v in layer.input_values() if v not in kept), kept[0]), arithmetic),
            weights=sum(map(self._size, kept)),
            macs=done,
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
        """How many weights a stored operand adds to those that are counted."""
        name = value.get_node().get_friendly_name()
        new = name not in self._counted
        self._counted.add(name)
        return work.size(value) if new else 0


def _name(op: Any) -> str:
    name: str = op.get_friendly_name()
    return name


def _channels(layer: Any, value: Any) -> int | None:
    """How many output channels weights have."""
    kind, shape = layer.get_type_name(), tuple(value.get_shape())
    if kind == "MatMul":
        first = layer.input_value(0) == value
        flipped = layer.get_attributes()["transpose_a" if first else "transpose_b"]
        return int(shape[-2 if first != flipped else -1]) if len(shape) > 1 else 1
    if "Convolution" not in kind:
        return None
    grouped = kind.startswith("Group")
    outputs = grouped + kind.endswith("BackpropData")
    return int(shape[outputs] * (shape[0] if grouped else 1))


def _once(node: Any) -> bool:
    """Whether a node works on constants alone, and so runs once, when the model is compiled."""
    makers = [source.get_source_output().get_node() for source in node.inputs()]
    return bool(makers) and all(maker.get_rt_info()["layerType"].value == "Const" for maker in makers)


def _names(layer: Any) -> list[str]:
    """The names that a runtime node may have from a layer: its own, and its bias's, which it is fused with."""
    users = [target.get_node() for target in layer.output(0).get_target_inputs()]
    adds = [user for user in users if user.get_type_name() == "Add"]
    constant = [
        a for a in adds if any(i.get_source_output().get_node().get_type_name() == "Constant" for i in a.inputs())
    ]
    return [layer.get_friendly_name(), *(add.get_friendly_name() for add in constant)]


def _among(layer: str, names: str) -> bool:
    """Whether a name, or one under it, is among names with commas between, and perhaps inside."""
    return any(part in f",{names}," for part in (f",{layer},", f",{layer}/"))


def _stored(node: Any, channels: int | None) -> tuple[Any, Grid] | None:
    """The weights behind an operator's input and the grid they are stored in; None where they are computed.

    The IR keeps quantized ones as an integer constant, converted, its zero point subtracted, times its scales.
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
    values = node.get_data()
    dtype = _DTYPES.get(node.get_element_type().get_type_name(), "float32")
    return values, weight_grid(values, zeros, scales, dtype, channels) if dtype in ("s8", "u8") else Grid(dtype=dtype)


def _activation(value: Any, arithmetic: str) -> Grid:
    """The grid of what a layer takes: of the FakeQuantize that it comes from, where the layer runs as integers."""
    node = value.get_node()
    while arithmetic in ("s8", "u8") and node.get_type_name() != "FakeQuantize" and node.get_input_size():
        node = node.input_value(0).get_node()
    if node.get_type_name() != "FakeQuantize":
        return Grid(dtype=arithmetic)
    low, high = (float(node.input_value(place).get_node().get_data().ravel()[0]) for place in (1, 2))
    levels = node.get_attributes()["levels"]
    from_zero = round(-low * (levels - 1) / (high - low))  # the place of zero, counted from the lowest
    return activation_grid(arithmetic, from_zero - (128 if arithmetic == "s8" else 0), round(math.log2(levels)))


def constants(source: Any) -> Iterator[tuple[str, NDArray[Any]]]:
    """Each constant of a model, by its name."""
    for op in source.get_ops():
        if op.get_type_name() == "Constant":
            yield op.get_friendly_name(), op.get_data()
