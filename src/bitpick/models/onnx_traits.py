"""What an ONNX file says of itself that decides how it is used: nothing of it is run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bitpick.models.model import Signature, Tensor

if TYPE_CHECKING:
    import onnx

_QUANTIZED = re.compile(r"(Dynamic)?Quantize.*|Dequantize.*|Q(Linear|Gemm|Attention).*|.*Integer(ToFloat)?")

OTHER_FLOATS = frozenset({"float16", "bfloat16", "float64"})
"""Floats that models come in, and that are read as float32."""
Size = int | str | None
"""A dimension as a file declares it: a number, the name of a free one, or None for a free one without a name."""


@dataclass(frozen=True)
class Traits:
    """What an ONNX file says of itself.

    Attributes:
        quantized: names of the nodes that say it was quantized; none for a float model.
        floats: the dtypes of its weights, inputs and outputs that are floats other than float32, by their names.
        signature: what it takes and gives, with the batch where the file declares it.
    """

    quantized: tuple[str, ...] = ()
    floats: tuple[str, ...] = ()
    signature: Signature = field(default_factory=lambda: Signature((), ()))


def traits(path: Path) -> Traits:
    """Read them off a file; a file that cannot be parsed has none, and whoever opens it will say what is wrong."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        return of_model(onnx.load(path, load_external_data=False))
    except DecodeError:
        return Traits()


def of_model(model: onnx.ModelProto) -> Traits:
    """Read them off a model."""
    graph = model.graph
    quantized = tuple(n.name or n.op_type for n in graph.node if _QUANTIZED.fullmatch(n.op_type))
    kinds = {v.type.tensor_type.elem_type for v in (*inputs_of(graph), *graph.output)}
    kinds |= {initializer.data_type for initializer in graph.initializer}
    floats = sorted({dtype_name(kind) for kind in kinds} & OTHER_FLOATS)
    return Traits(quantized, tuple(floats), _signature(graph))


def inputs_of(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """The inputs that a user feeds: old exporters list the weights among them, too."""
    stored = {initializer.name for initializer in graph.initializer}
    return [value for value in graph.input if value.name not in stored]


def dtype_name(kind: int) -> str:
    """The name of an ONNX element type, as numpy has it: `float32`; `string`; nothing for what is no tensor."""
    import onnx

    if kind in (onnx.TensorProto.UNDEFINED, onnx.TensorProto.STRING):
        return "string" if kind else ""
    return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind)).name


def declared(value: onnx.ValueInfoProto) -> list[Size] | None:
    """The shape that a file declares for an input or an output; None where it declares none.

    Some exporters write -1 or 0 for a free dimension, which ONNX Runtime takes for one as well.
    """
    end = value.type.tensor_type
    if not end.HasField("shape"):
        return None
    return [d.dim_value if d.dim_value > 0 else d.dim_param or None for d in end.shape.dim]


def batch_axes(inputs: Sequence[Sequence[Size]], outputs: Sequence[Sequence[Size]] = ()) -> list[int | None]:
    """The axis of each input that looks to be the batch, by the shapes that a file declares alone.

    It is the first axis where that is free. Where some inputs have that, it is in the others the axis of the same name,
    or the only free one without a name. Where none has it, it is the only free axis of each, else a first axis that
    all inputs and outputs share.

    Args:
        inputs: the shape of each input.
        outputs: that of each output, where it is known.

    Returns:
        The axis in each input; None where it has none.
    """
    names: set[Size] = {shape[0] for shape in inputs if shape and not isinstance(shape[0], int)}
    if names:
        return [_axis_like(shape, names) for shape in inputs]
    first = {shape[0] if shape else None for shape in inputs}
    if first == {1}:
        return [0] * len(inputs)
    free = [[axis for axis, size in enumerate(shape) if not isinstance(size, int)] for shape in inputs]
    if all(len(axes) == 1 for axes in free) and len({s[a[0]] for s, a in zip(inputs, free, strict=True)}) == 1:
        return [axes[0] for axes in free]
    first |= {shape[0] if shape else None for shape in outputs if not shape or isinstance(shape[0], int)}
    shared = len(first) == 1 and None not in first and all(len(shape) > 1 for shape in inputs)
    return [0 if shared else None] * len(inputs)


def _axis_like(shape: Sequence[Size], names: set[Size]) -> int | None:
    """The first axis that is free, if it is the first, or has one of these names; else the only one without a name."""
    if shape and not isinstance(shape[0], int):
        return 0
    named = [axis for axis, size in enumerate(shape) if isinstance(size, str) and size in names]
    nameless = [axis for axis, size in enumerate(shape) if size is None]
    return next(iter(named), nameless[0] if len(nameless) == 1 else None)


def _signature(graph: onnx.GraphProto) -> Signature:
    def tensor(value: onnx.ValueInfoProto, axis: int | None) -> Tensor:
        sizes = declared(value)
        kept = None if sizes is None else [size for place, size in enumerate(sizes) if place != axis]
        shape = None if kept is None else tuple(size if isinstance(size, int) else None for size in kept)
        return Tensor(value.name, shape, dtype_name(value.type.tensor_type.elem_type))

    inputs = inputs_of(graph)
    shapes = [[None] if (shape := declared(value)) is None else shape for value in inputs]
    axes = batch_axes(shapes, [shape for value in graph.output if (shape := declared(value)) is not None])
    return Signature(
        tuple(tensor(value, axis) for value, axis in zip(inputs, axes, strict=True)),
        tuple(tensor(value, 0) for value in graph.output),
    )
