"""What a task is chosen from: what a model gives, the labels that a data set has, and what the user asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.errors import DataError
from bitpick.judging import Judging
from bitpick.model import Signature, Tensor, fits


@dataclass(frozen=True)
class Case:
    """A model and a data set.

    Attributes:
        signature: what the model takes and gives.
        classes: names of the classes, or of the labels; empty where the data set has none.
        labels: the labels of the evaluation set; None where it has none.
        source: the model, as messages call it.
        judging: what the user asked for.
    """

    signature: Signature
    classes: tuple[str, ...]
    labels: NDArray[Any] | None
    source: str
    judging: Judging

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

    @property
    def like_labels(self) -> int | None:
        """The first output that has a value for each label of a sample."""
        assert self.labels is not None
        shape = self.labels.shape[1:]
        return next((i for i, tensor in enumerate(self.signature.outputs) if _fits(tensor, shape)), None)

    @property
    def unlike(self) -> DataError:
        """That no output has the labels' shape."""
        assert self.labels is not None
        shape = ", ".join(["samples", *map(str, self.labels.shape[1:])])
        return DataError(
            f"{self.gives}, and the labels have the shape ({shape})",
            expected="labels of the shape of an output",
            mend="give a metric of your own with --metric module:function",
        )

    @property
    def guess(self) -> str:
        """The kind of task that shapes and labels make.

        Raises:
            DataError: they make none.
        """
        if self.labels is None:
            return self._without_labels
        if self.labels.ndim > 1:
            return self._of_many
        if self.judging.metric in ("mae", "rmse", "r2") and (self.like_labels is not None or not self.classes):
            return "regression"
        whole = self.labels.dtype.kind in "iub"
        # Numbers may be those of classes, or counts, or 1 for what is abnormal.
        numbers_alone = self.classes == tuple(map(str, range(len(self.classes))))
        scored = len(self.classes) in self.counts or (len(self.classes) == 2 and 1 in self.counts)
        mirrors = self.mirrored is not None and binary(self.labels)
        wide = self.mirrored is not None and self.counts[self.mirrored[0]] > 2
        if whole and self.classes and scored and not (mirrors and wide and numbers_alone):
            return "classification"
        if mirrors:
            return "anomaly"
        many = any(count > 1 for count in self.counts)
        if whole and self.classes and (many or 1 not in self.counts or not numbers_alone):
            return "classification"
        if whole and (many or binary(self.labels)):
            return "classification"
        if many and 1 not in self.counts:
            raise DataError(
                f"the labels are numbers such as {self.labels[0]:g}, and {self.gives}",
                expected="class numbers, as integers, for a model that gives a score for each class",
            )
        return "regression"

    @property
    def _without_labels(self) -> str:
        if self.mirrored is not None:
            return "reconstruction"
        named = len(self.classes) > 1 and len(self.classes) in self.counts
        return "agreement" if named or (len(self.counts) == 1 and self.counts[0] > 1) else "deviation"

    @property
    def _of_many(self) -> str:
        """Of labels that are several numbers for each sample."""
        assert self.labels is not None
        if self.like_labels is None:
            raise self.unlike
        if self.labels.ndim > 2 or not binary(self.labels) or self.judging.metric in ("mae", "rmse", "r2"):
            return "regression"
        if (self.labels.sum(axis=1) == 1).all():
            raise DataError(
                "the labels are one-hot: one 1 in each row",
                expected="class numbers, of shape (samples,)",
                mend="store labels.argmax(axis=1), or say --task multilabel",
            )
        return "multilabel"


def binary(labels: NDArray[Any]) -> bool:
    """Whether labels are 0 and 1."""
    return bool(np.isin(labels, (0, 1)).all())


def _fits(tensor: Tensor, shape: tuple[int, ...]) -> bool:
    """Whether a tensor has a value for each label of a sample, whatever axes of size 1 either has."""
    return fits(shape, tensor.shape) or fits(tuple(size for size in shape if size != 1), tensor.sizes)
