"""What OpenVINO executes: its runtime model, with the number grids of the IR that it was compiled from."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.engines.graphs.executed import FLOATS, INTEGERS, Executed, Operator, activation_grid, weight_grid
from bitpick.fingerprint import Grid
from bitpick.preprocessing import Arrays

WEIGHTED = {
    "Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData", "MatMul",
}  # fmt: skip
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
    layers = [op for op in source.get_ops() if op.get_type_name() in WEIGHTED]
    operators = []
    nodes = compiled.get_runtime_model().get_ordered_ops()
    for node in nodes:
        told = node.get_rt_info()
        kind = told["layerType"].value
        if kind in _PLUMBING:
            continue
        precision = told["runtimePrecision"].value
        arithmetic = _DTYPES.get(precision, precision)
        # A node that swallowed others has their names; a rewritten one has a name under the original's.
        names = told["originalLayersNames"].value
        layer = next((op for op in layers if any(_among(name, names) for name in _names(op))), None)
        weight = None if layer is None else _stored(layer.input_value(1).get_node())
        if layer is None or weight is None:
            operators.append(Operator(node.get_friendly_name(), kind, arithmetic))
            continue
        values, grid = weight
        operators.append(
            Operator(
                layer.get_friendly_name().removesuffix("/WithoutBiases"),
                kind,
                arithmetic,
                weight=grid if grid.dtype in ("s8", "u8") else Grid(dtype=arithmetic),
                activation=_activation(layer, arithmetic),
                weights=int(values.size),
                macs=int(values.size) * _positions(layer),
            )
        )
    ends = (compiled.inputs[0], compiled.outputs[0])
    first, last = (_DTYPES.get(end.get_element_type().get_type_name(), "") for end in ends)
    moves = [(node.get_rt_info()["layerType"].value, node.get_friendly_name()) for node in nodes if not _once(node)]
    return Executed(
        tuple(o for o in operators if o.arithmetic in INTEGERS | FLOATS),
        first,
        last,
        conversions=tuple(f"{kind} {name}" for kind, name in moves if kind in _CONVERSIONS),
        transposes=tuple(f"{kind} {name}" for kind, name in moves if kind in _TRANSPOSES),
    )


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


def _stored(node: Any) -> tuple[Any, Grid] | None:
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
    return values, weight_grid(values, zeros, scales, dtype) if dtype in ("s8", "u8") else Grid(dtype=dtype)


def _activation(layer: Any, arithmetic: str) -> Grid:
    """The grid of a layer's input: of the FakeQuantize that it comes from, where the layer runs as integers."""
    node = layer.input_value(0).get_node()
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


def _positions(layer: Any) -> int:
    """How often a layer's weights are used for one sample: once for each output position, or input position."""
    transposed = layer.get_type_name().endswith("BackpropData")
    side = layer.input_value(0) if transposed else layer.output(0)
    shape = [1 if d.is_dynamic else d.get_length() for d in side.get_partial_shape()]
    channel = -1 if layer.get_type_name() == "MatMul" else 1
    return int(np.prod(shape)) // shape[channel]
