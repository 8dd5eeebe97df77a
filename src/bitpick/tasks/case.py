"""What a task is chosen from: what a model gives, the labels that a data set has, and what the user asked for."""

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

_WHITE = 255  # in a picture
_BATCH = 50  # samples whose inputs are in memory


@dataclass(frozen=True)
class Seen:
    """What the float model gives for some samples.

    Attributes:
        samples: the samples.
        outputs: each of shape (samples.count, …), float32.
    """

    samples: Samples
    outputs: Arrays

    @property
    def targets(self) -> NDArray[Any] | None:
        """The labels of the samples; None where they have none."""
        return None if self.samples.labels is None else self.samples.targets()

    def errors(self, output: int, given: int) -> tuple[NDArray[np.float64], float]:
        """How far an output is from an input.

        Returns:
            The mean square for each sample, of shape (samples.count,), and the mean over samples as a share of what it
            is for the best constant, each value's mean.
        """
        count = self.samples.count
        errors = np.empty(count)
        sums = squares = np.zeros(())
        done = 0
        for inputs in self.samples.batches(self.samples.at_once(_BATCH)):
            window = slice(done, done + len(inputs[given]))
            done = window.stop
            whole = inputs[given].reshape(len(inputs[given]), -1).astype(np.float64)
            errors[window] = np.square(self.outputs[output][window].reshape(whole.shape) - whole).mean(axis=1)
            sums, squares = sums + whole.sum(axis=0), squares + np.square(whole).sum(axis=0)
        variance = float((squares / count - np.square(sums / count)).mean())
        return errors, float(errors.mean()) / variance if variance > 0 else float("inf")


@dataclass(frozen=True)
class Case:
    """A model and a data set.

    Attributes:
        signature: what the model takes and gives.
        classes: names of the classes, or of the labels; empty where the data set has none.
        labels: the labels of the evaluation set; None where it has none.
        source: the model, as messages call it.
        judging: what the user asked for.
        one_class: whether all samples to calibrate with have the same label, as those that a model learns what is
            normal from.
        seen: what the float model gives for some samples; None before it was run.
    """

    signature: Signature
    classes: tuple[str, ...]
    labels: NDArray[Any] | None
    source: str
    judging: Judging
    one_class: bool = False
    seen: Seen | None = None

    @property
    def gives(self) -> str:
        """What the model gives, in words."""
        return f"the model {self.source} gives {'; '.join(map(str, self.signature.outputs))}"

    @property
    def counts(self) -> list[int]:
        """How many numbers each output has for a sample, where they are in a row; 0 where they are not."""
        return [tensor.count for tensor in self.signature.outputs]

    @property
    def mirrored(self) -> tuple[int, int] | None:
        """The first output that has the shape of an input, and that input."""
        for place, output in enumerate(self.signature.outputs):
            for other, tensor in enumerate(self.signature.inputs):
                if output.sizes and output.sizes == tensor.sizes and tensor.dtype.startswith("float"):
                    return place, other
        return None

    @cached_property
    def unexplained(self) -> float:
        """The share of the input's variance that the mirrored output leaves, see `Seen.errors`."""
        assert self.seen is not None
        assert self.mirrored is not None
        return self.seen.errors(*self.mirrored)[1]

    @property
    def like_labels(self) -> int | None:
        """The first output that has a value for each label of a sample."""
        assert self.labels is not None
        shape = self.labels.shape[1:]
        return next((i for i, tensor in enumerate(self.signature.outputs) if has_shape(tensor, shape)), None)

    @property
    def numbered(self) -> int | None:
        """The output that may give class numbers: whole numbers, of the shape of labels that are classes, too."""
        labels, place = self.labels, self.like_labels
        if labels is None or place is None or not self.signature.outputs[place].is_index:
            return None
        classes = labels.dtype.kind in "iub" and not binary(labels) and int(labels.max()) < MOST_CLASSES
        return place if classes else None

    @property
    def unlike(self) -> DataError:
        """That no output has the labels' shape."""
        assert self.labels is not None
        shape = ", ".join(["samples", *map(str, self.labels.shape[1:])])
        return DataError(
            f"{self.gives}, and the labels have the shape ({shape})",
            expected="labels of the shape of an output, or class numbers of that shape without the axis of the scores",
            fix="give a metric of your own with --metric module:function",
        )


def binary(labels: NDArray[Any]) -> bool:
    """Whether labels are 0 and 1."""
    return bool(np.isin(labels, (0, 1)).all())


def mask(labels: NDArray[Any]) -> int | None:
    """What a mask, labels of two values at each position, writes for the second class; None of other labels."""
    if binary(labels):
        return 1
    drawn = labels.ndim > 2 and labels.dtype.kind in "iu" and np.isin(labels, (0, _WHITE)).all()
    return _WHITE if drawn else None


def has_shape(tensor: Tensor, shape: tuple[int, ...]) -> bool:
    """Whether a tensor has a value for each label of a sample, whatever axes of size 1 either has."""
    return fits(shape, tensor.shape) or fits(tuple(size for size in shape if size != 1), tensor.sizes)
