"""Run an ONNX model on a few samples to learn about its inputs and outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bitpick.conversion import onnx_file, onnx_passes
from bitpick.conversion.batch_axes import possible_axes
from bitpick.library_errors import telling_line
from bitpick.models.onnx_traits import batch_axes, declared, inputs_of
from bitpick.preprocessing import Arrays

if TYPE_CHECKING:
    import onnx

# Sizes to try for free axes if there are no samples: a layer may need a minimum size.
_SIZES = (8, 32, 128, 224, 512)
# Operators whose output shape depends on the values of their inputs.
_SELECTING = frozenset({"NonMaxSuppression", "NonZero", "Unique", "Compress"})


class Trial:
    """A model that can be run on a few samples.

    Args:
        model: the model.
        samples: an array of shape (m, …) for each input; None if there are none. Without samples, or if their shapes do
            not fit the model, random ones are made for several guesses at the sizes of free axes.
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
            fits = [
                possible_axes(fixed_sizes(shape), array.shape[1:])
                for shape, array in zip(self.shapes, samples, strict=True)
            ]
            if all(fits):
                pairs = zip(self.axes, fits, strict=True)
                self.axes = [axis if axis in axes else axes[0] for axis, axes in pairs]
            else:  # samples for another model: the code that loads them reports it
                samples = None
        self.samples = samples
        self._guesses = [samples] if samples is not None else [self._random_samples(size) for size in _SIZES]

    def _random_samples(self, free: int) -> list[NDArray[Any]]:
        """Make three samples for each input: normal floats, or zeros for integers."""
        rng = np.random.default_rng(0)
        arrays = []
        for value, axis, shape in zip(self.inputs, self.axes, self.shapes, strict=True):
            sample_shape = [
                size if isinstance(size, int) else free for index, size in enumerate(shape) if index != axis
            ]
            floats = np.issubdtype(_numpy_dtype(value), np.floating)
            arrays.append(rng.normal(size=(3, *sample_shape)) if floats else np.zeros((3, *sample_shape)))
        return arrays

    def run(self, indices: Sequence[int]) -> Arrays | None:
        """Run the model on samples.

        Args:
            indices: the indices of the samples; they wrap around if there are fewer samples.

        Returns:
            Each output, unchanged; None if ONNX Runtime refuses the samples: `refusal` says why.
        """
        for samples in self._guesses:
            batch = []
            for value, axis, array in zip(self.inputs, self.axes, samples, strict=True):
                rows = array[np.asarray(indices) % len(array)].astype(_numpy_dtype(value))
                batch.append(np.asarray(rows[0]) if axis is None else np.ascontiguousarray(np.moveaxis(rows, 0, axis)))
            try:
                return tuple(onnx_file.run(self._model, batch))
            except Exception as error:  # noqa: BLE001 - the runtime raises any type of error
                self.refusal = telling_line(error)
        return None

    def selecting_node(self, output: onnx.ValueInfoProto) -> onnx.NodeProto | None:
        """Return the first node upstream of an output whose number of rows depends on values; None if there is none."""
        producers: dict[str, onnx.NodeProto] = {name: node for node in self.nodes for name in node.output}
        names, seen = [output.name], set()
        while names:
            node = producers.get(names.pop())
            if node is None or node.output[0] in seen:
                continue
            if node.op_type in _SELECTING:
                return node
            seen.add(node.output[0])
            names += onnx_passes.reads(node)
        return None


def fixed_sizes(shape: Sequence[int | str | None]) -> list[int | None]:
    """Return the fixed sizes of a shape, with None for free ones."""
    return [size if isinstance(size, int) else None for size in shape]


def _numpy_dtype(value: onnx.ValueInfoProto) -> np.dtype[Any]:
    import onnx

    return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))
