"""Do arithmetic on shapes while the graph is imported; only the batch size is not a number yet.

To keep the batch free, exporters compute the target of a Reshape or an Expand from the shape of a tensor. All of that
is known at import except the batch, so an array of sizes holds Python integers and multiples of `Batch`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bitpick.conversion import onnx_file

if TYPE_CHECKING:
    import onnx

# Two batch sizes at which to compute each tensor's shape: a size that differs depends on the batch.
PROBES = (2, 3)
# The same for other free dimensions; the two stay different when halved several times.
FREE = (160, 224)


@dataclass(frozen=True)
class Batch:
    """A multiple of the number of samples in a batch."""

    factor: int = 1

    def __mul__(self, other: object) -> Batch:
        return Batch(self.factor * int(other)) if isinstance(other, int | np.integer) else NotImplemented

    __rmul__ = __mul__

    def __floordiv__(self, other: object) -> Batch | int:
        if isinstance(other, Batch) and self.factor % other.factor == 0:
            return self.factor // other.factor
        if isinstance(other, int | np.integer) and other > 0 and self.factor % other == 0:
            return Batch(self.factor // int(other))
        return NotImplemented


Size = int | Batch


def size_of(small: int, large: int) -> Size | None:
    """Return the size of an axis from its sizes at both `PROBES`; None if it is not a multiple of the batch."""
    if small == large:
        return small
    factor, rest = divmod(small, PROBES[0])
    return Batch(factor) if rest == 0 and factor * PROBES[1] == large else None


def sizes(array: NDArray[Any]) -> list[Size]:
    """Return the elements of an array of sizes as a list."""
    return [each if isinstance(each, Batch) else int(each) for each in array.reshape(-1).tolist()]


def packed(values: Any) -> NDArray[Any]:
    """Return an array of sizes; a numeric one if all are numbers."""
    array = np.array(values, dtype=object)
    if any(isinstance(each, Batch) for each in array.flat):
        return array
    return np.array(array.tolist(), dtype=None if array.size else np.int64)


def has_batch(array: NDArray[Any]) -> bool:
    """Return whether an array of sizes depends on the batch."""
    return array.dtype == object


def _slice(attributes: dict[str, Any], data: Any, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Any:  # noqa: ARG001
    step = 1 if steps is None else int(steps[0])
    return data[int(starts[0]) : int(ends[0]) : step]


def _larger(a: Size, b: Size) -> Size:
    """Return the larger of two sizes; a batch has at least one sample."""
    if isinstance(a, Batch) or isinstance(b, Batch):
        batch, other = (a, b) if isinstance(a, Batch) else (b, a)
        if other == batch or (isinstance(other, int) and other <= 1):
            return batch
        raise TypeError(f"the larger of {a} and {b}")
    return max(a, b)


def _axes(data: Any, axes: Any) -> tuple[int, ...] | None:
    return None if axes is None else tuple(int(axis) % max(data.ndim, 1) for axis in axes)


# The operators that exporters apply to shapes: functions of attributes and of arrays that may hold a Batch.
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "Cast": lambda _, data: data,
    "Identity": lambda _, data: data,
    "Gather": lambda attributes, data, indices: np.take(data, indices.astype(int), axis=attributes.get("axis", 0)),
    "Concat": lambda attributes, *parts: np.concatenate(parts, axis=attributes["axis"]),
    "Squeeze": lambda _, data, axes=None: np.squeeze(data, _axes(data, axes)),
    "Unsqueeze": lambda _, data, axes: np.expand_dims(data, tuple(int(axis) for axis in axes)),
    "Reshape": lambda _, data, shape: data.reshape(tuple(int(size) for size in shape)),
    "Slice": _slice,
    "Mul": lambda _, a, b: a * b,
    "Div": lambda _, a, b: a // b,
    "Max": lambda _, *each: functools.reduce(np.frompyfunc(_larger, 2, 1), each),
    "Equal": lambda _, a, b: a == b,
    "Where": lambda _, condition, a, b: np.where(condition, a, b),
    "ReduceProd": lambda _, data, axes=None: np.array([np.prod(data)], dtype=object),  # noqa: ARG005 - sizes have one axis
    "Shape": lambda _, data: np.array(data.shape),
    "Size": lambda _, data: np.array(data.size),
}


def fold(node: onnx.NodeProto, inputs: Sequence[NDArray[Any] | None], opset: int) -> tuple[NDArray[Any], ...] | None:
    """Compute a node whose inputs are all known; return None if the result is not a simple function of the batch.

    Args:
        node: the ONNX node.
        inputs: the node's inputs; None for an omitted one.
        opset: the version of its operator set.
    """
    import onnx

    arrays = {name: array for name, array in zip(node.input, inputs, strict=True) if array is not None}
    if any(has_batch(array) for array in arrays.values()):
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        function = _FUNCTIONS.get(node.op_type)
        try:
            return None if function is None else (packed(function(attributes, *inputs)),)
        except TypeError:  # a sum, say: not a multiple of the batch
            return None
    return onnx_file.run_node(node, arrays, opset)
