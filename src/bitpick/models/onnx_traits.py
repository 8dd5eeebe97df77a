"""Read the properties of an ONNX file that decide how it is used, without running it."""

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
"""Float dtypes, other than float32, that models may have; they are converted to float32."""
Size = int | str | None
"""A dimension as a file declares it: a number, the name of a free dimension, or None for an unnamed free one."""


@dataclass(frozen=True)
class Traits:
    """The properties of an ONNX file.

    Attributes:
        quantized: names of the nodes that show it is quantized; empty for a float model.
        floats: names of the float dtypes, other than float32, of its weights, inputs and outputs.
        signature: its inputs and outputs; the batch axis is where the file declares it.
    """

    quantized: tuple[str, ...] = ()
    floats: tuple[str, ...] = ()
    signature: Signature = field(default_factory=lambda: Signature((), ()))


def traits(path: Path) -> Traits:
    """Read the traits of a file; empty if it cannot be parsed, which opening the model later reports."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        return of_model(onnx.load(path, load_external_data=False))
    except DecodeError:
        return Traits()


def of_model(model: onnx.ModelProto) -> Traits:
    """Read the traits of a model."""
    graph = model.graph
    quantized = tuple(n.name or n.op_type for n in graph.node if _QUANTIZED.fullmatch(n.op_type))
    kinds = {v.type.tensor_type.elem_type for v in (*inputs_of(graph), *graph.output)}
    kinds |= {initializer.data_type for initializer in graph.initializer}
    floats = sorted({dtype_name(kind) for kind in kinds} & OTHER_FLOATS)
    return Traits(quantized, tuple(floats), _signature(graph))


def inputs_of(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """Return the inputs that the user feeds: old exporters also list the weights as inputs."""
    stored = {initializer.name for initializer in graph.initializer}
    return [value for value in graph.input if value.name not in stored]


def dtype_name(kind: int) -> str:
    """Return the numpy name of an ONNX element type, e.g. `float32`, or `string`; empty if it is not of a tensor."""
    import onnx

    if kind in (onnx.TensorProto.UNDEFINED, onnx.TensorProto.STRING):
        return "string" if kind else ""
    return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind)).name


def declared(value: onnx.ValueInfoProto) -> list[Size] | None:
    """Return the shape that a file declares for an input or an output; None if it declares none.

    Some exporters write -1 or 0 for a free dimension, and ONNX Runtime also treats these as free.
    """
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return [d.dim_value if d.dim_value > 0 else d.dim_param or None for d in tensor.shape.dim]


def batch_axes(inputs: Sequence[Sequence[Size]], outputs: Sequence[Sequence[Size]] = ()) -> list[int | None]:
    """Guess the batch axis of each input, from declared shapes alone.

    An input with a free first axis has its batch there. If there are such inputs, the batch of the others is the axis
    of the same name, or their only unnamed free axis. If no input has a free first axis, the batch is the first axis if
    it has size 1 in all inputs, else the only free axis of each input, else the first axis if all inputs and outputs
    share its size.

    Args:
        inputs: shape of each input.
        outputs: shape of each output, if known.

    Returns:
        The batch axis of each input; None if an input has none.
    """
    names: set[Size] = {shape[0] for shape in inputs if shape and not isinstance(shape[0], int)}
    if names:
        return [_axis_like(shape, names) for shape in inputs]
    firsts = {shape[0] if shape else None for shape in inputs}
    if firsts == {1}:
        return [0] * len(inputs)
    free = [[axis for axis, size in enumerate(shape) if not isinstance(size, int)] for shape in inputs]
    if all(len(axes) == 1 for axes in free) and len({s[a[0]] for s, a in zip(inputs, free, strict=True)}) == 1:
        return [axes[0] for axes in free]
    firsts |= {shape[0] if shape else None for shape in outputs if not shape or isinstance(shape[0], int)}
    is_shared = len(firsts) == 1 and None not in firsts and all(len(shape) > 1 for shape in inputs)
    return [0 if is_shared else None] * len(inputs)


def _axis_like(shape: Sequence[Size], names: set[Size]) -> int | None:
    """Return the first axis if it is free, else an axis with one of these names, else the only unnamed free axis."""
    if shape and not isinstance(shape[0], int):
        return 0
    named = [axis for axis, size in enumerate(shape) if isinstance(size, str) and size in names]
    nameless = [axis for axis, size in enumerate(shape) if size is None]
    return next(iter(named), nameless[0] if len(nameless) == 1 else None)


def _signature(graph: onnx.GraphProto) -> Signature:
    def tensor(value: onnx.ValueInfoProto, axis: int | None) -> Tensor:
        sizes = declared(value)
        sample = None if sizes is None else [size for place, size in enumerate(sizes) if place != axis]
        shape = None if sample is None else tuple(size if isinstance(size, int) else None for size in sample)
        return Tensor(value.name, shape, dtype_name(value.type.tensor_type.elem_type))

    inputs = inputs_of(graph)
    shapes = [[None] if (shape := declared(value)) is None else shape for value in inputs]
    axes = batch_axes(shapes, [shape for value in graph.output if (shape := declared(value)) is not None])
    return Signature(
        tuple(tensor(value, axis) for value, axis in zip(inputs, axes, strict=True)),
        tuple(tensor(value, 0) for value in graph.output),
    )
