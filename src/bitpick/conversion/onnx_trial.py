"""An ONNX model, run on a few samples, to see what it does with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bitpick.conversion import onnx_file, onnx_passes
from bitpick.conversion.batch_axes import possible
from bitpick.library_errors import telling_line
from bitpick.models.onnx_traits import batch_axes, declared, inputs_of
from bitpick.preprocessing import Arrays

if TYPE_CHECKING:
    import onnx

# What free axes are tried at where no samples are known: a layer may need so many places.
_SIZES = (8, 32, 128, 224, 512)
# How many numbers they give depends on the numbers that they get.
_SELECTING = frozenset({"NonMaxSuppression", "NonZero", "Unique", "Compress"})


class Trial:
    """A model, run on a few samples.

    Args:
        model: the model.
        samples: an array of shape (m, …) for each input; None where none are known. Without samples, or with those of
            another shape than the model takes, numbers are made up, for several guesses at the sizes of free axes.
    """

    def __init__(self, model: onnx.ModelProto, samples: Sequence[NDArray[Any]] | None) -> None:
        self.inputs = inputs_of(model.graph)
        self.outputs = list(model.graph.output)
        self.nodes = list(model.graph.node)
        ranks = [each.ndim for each in samples] if samples is not None else [1] * len(self.inputs)
        self.shapes = [
            [None] * rank if (shape := declared(value)) is None else shape
            for value, rank in zip(self.inputs, ranks, strict=True)
        ]
        self.refusal = ""
        self._model = model
        outputs = [shape for value in self.outputs if (shape := declared(value)) is not None]
        self.axes = batch_axes(self.shapes, outputs)
        if samples is not None:
            able = [possible(sizes(shape), array.shape[1:]) for shape, array in zip(self.shapes, samples, strict=True)]
            if all(able):
                pairs = zip(self.axes, able, strict=True)
                self.axes = [axis if axis in axes else axes[0] for axis, axes in pairs]
            else:  # samples of another model: whoever loads them for this one says so
                samples = None
        self.samples = samples
        self._guesses = [samples] if samples is not None else [self._made_up(size) for size in _SIZES]

    def _made_up(self, free: int) -> list[NDArray[Any]]:
        """Three samples for each input: normal, or zeros where it takes integers."""
        rng = np.random.default_rng(0)
        found = []
        for value, axis, shape in zip(self.inputs, self.axes, self.shapes, strict=True):
            sizes = [size if isinstance(size, int) else free for place, size in enumerate(shape) if place != axis]
            floats = np.issubdtype(_numpy_dtype(value), np.floating)
            found.append(rng.normal(size=(3, *sizes)) if floats else np.zeros((3, *sizes)))
        return found

    def run(self, places: Sequence[int]) -> Arrays | None:
        """The outputs for samples, as the model gives them.

        Args:
            places: which samples, counted from the first again where there are fewer.

        Returns:
            Each output; None where ONNX Runtime refuses the samples: `refusal` says why.
        """
        for samples in self._guesses:
            batch = []
            for value, axis, array in zip(self.inputs, self.axes, samples, strict=True):
                rows = array[np.asarray(places) % len(array)].astype(_numpy_dtype(value))
                batch.append(np.asarray(rows[0]) if axis is None else np.ascontiguousarray(np.moveaxis(rows, 0, axis)))
            try:
                return tuple(onnx_file.run(self._model, batch))
            except Exception as error:  # noqa: BLE001 - the runtime raises what it likes
                self.refusal = telling_line(error)
        return None

    def selects(self, output: onnx.ValueInfoProto) -> onnx.NodeProto | None:
        """The first node behind an output that gives as many rows as the numbers make it give; None if none does."""
        made: dict[str, onnx.NodeProto] = {name: node for node in self.nodes for name in node.output}
        waiting, seen = [output.name], set()
        while waiting:
            node = made.get(waiting.pop())
            if node is None or node.output[0] in seen:
                continue
            if node.op_type in _SELECTING:
                return node
            seen.add(node.output[0])
            waiting += onnx_passes.reads(node)
        return None


def sizes(shape: Sequence[int | str | None]) -> list[int | None]:
    """The sizes that are fixed, None for free ones."""
    return [size if isinstance(size, int) else None for size in shape]


def _numpy_dtype(value: onnx.ValueInfoProto) -> np.dtype[Any]:
    import onnx

    return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))
