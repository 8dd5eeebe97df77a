"""The inputs for choosing a task: the model's outputs, the data set's labels and the user's request."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.datasets.dataset import Samples
from bitpick.datasets.labels import MOST_CLASSES
from bitpick.errors import DataError
from bitpick.models.model import Signature, Tensor, fits
from bitpick.preprocessing import Arrays
from bitpick.schema.judging import Judging

_WHITE = 255  # in an image
_BATCH = 50  # samples with inputs in memory at one time


@dataclass(frozen=True)
class FloatRun:
    """Some samples and the float model's outputs for them.

    Attributes:
        samples: the samples.
        outputs: each of shape (samples.count, …), float32.
    """

    samples: Samples
    outputs: Arrays

    @property
    def targets(self) -> NDArray[Any] | None:
        """The labels of the samples; None if they have none."""
        return None if self.samples.labels is None else self.samples.targets()

    def errors(self, output: int, input_index: int) -> tuple[NDArray[np.float64], float]:
        """Measure how far an output is from an input.

        Returns:
            The mean squared error of each sample, of shape (samples.count,), and its mean over samples as a share of
            the error of the best constant output, which is the mean of each value.
        """
        count = self.samples.count
        errors = np.empty(count)
        sums = squares = np.zeros(())
        done = 0
        for inputs in self.samples.batches(self.samples.at_once(_BATCH)):
            window = slice(done, done + len(inputs[input_index]))
            done = window.stop
            values = inputs[input_index].reshape(len(inputs[input_index]), -1).astype(np.float64)
            errors[window] = np.square(self.outputs[output][window].reshape(values.shape) - values).mean(axis=1)
            sums, squares = sums + values.sum(axis=0), squares + np.square(values).sum(axis=0)
        variance = float((squares / count - np.square(sums / count)).mean())
        return errors, float(errors.mean()) / variance if variance > 0 else float("inf")


@dataclass(frozen=True)
class Case:
    """A model and a data set.

    Attributes:
        signature: what the model takes and gives.
        classes: names of the classes, or of the labels; empty if the data set has none.
        labels: the labels of the evaluation set; None if it has none.
        source: the model, as messages call it.
        judging: how the user wants builds to be judged.
        one_class: whether all calibration samples have the same label, like the normal samples that an anomaly
            detector learns from.
        float_run: the float model's outputs for some samples; None before it is run.
    """

    signature: Signature
    classes: tuple[str, ...]
    labels: NDArray[Any] | None
    source: str
    judging: Judging
    one_class: bool = False
    float_run: FloatRun | None = None

    @property
    def gives(self) -> str:
        """The model's outputs, in words."""
        return f"the model {self.source} gives {'; '.join(map(str, self.signature.outputs))}"

    @property
    def counts(self) -> list[int]:
        """The number of values of each output for a sample, if they form one row; else 0."""
        return [tensor.count for tensor in self.signature.outputs]

    @property
    def mirrored(self) -> tuple[int, int] | None:
        """The indices of the first output that has the shape of an input, and of that input."""
        for output_index, output in enumerate(self.signature.outputs):
            for input_index, tensor in enumerate(self.signature.inputs):
                if output.sizes and output.sizes == tensor.sizes and tensor.dtype.startswith("float"):
                    return output_index, input_index
        return None

    @cached_property
    def unexplained(self) -> float:
        """The share of the input's variance that the mirrored output leaves unexplained, see `FloatRun.errors`."""
        assert self.float_run is not None
        assert self.mirrored is not None
        return self.float_run.errors(*self.mirrored)[1]

    @property
    def like_labels(self) -> int | None:
        """The index of the first output that has a value for each label of a sample."""
        assert self.labels is not None
        shape = self.labels.shape[1:]
        return next((i for i, tensor in enumerate(self.signature.outputs) if has_shape(tensor, shape)), None)

    @property
    def numbered(self) -> int | None:
        """The index of the output that may be class numbers: integers of the labels' shape, if labels are classes."""
        labels, place = self.labels, self.like_labels
        if labels is None or place is None or not self.signature.outputs[place].is_index:
            return None
        classes = labels.dtype.kind in "iub" and not binary(labels) and int(labels.max()) < MOST_CLASSES
        return place if classes else None

    @property
    def unlike(self) -> DataError:
        """The error for labels of a shape that no output has."""
        assert self.labels is not None
        shape = ", ".join(["samples", *map(str, self.labels.shape[1:])])
        return DataError(
            f"{self.gives}, and the labels have the shape ({shape})",
            expected="labels of the shape of an output, or class numbers of that shape without the axis of the scores",
            fix="give a metric of your own with --metric module:function",
        )


def binary(labels: NDArray[Any]) -> bool:
    """Whether all labels are 0 or 1."""
    return bool(np.isin(labels, (0, 1)).all())


def mask(labels: NDArray[Any]) -> int | None:
    """Return the value of the second class in a mask, which has two values; None if the labels are not a mask."""
    if binary(labels):
        return 1
    is_image = labels.ndim > 2 and labels.dtype.kind in "iu" and np.isin(labels, (0, _WHITE)).all()
    return _WHITE if is_image else None


def has_shape(tensor: Tensor, shape: tuple[int, ...]) -> bool:
    """Whether a tensor has a value for each label of a sample, ignoring axes of size 1."""
    return fits(shape, tensor.shape) or fits(tuple(size for size in shape if size != 1), tensor.sizes)
