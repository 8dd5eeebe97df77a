"""Segmentation: a class for each position of a sample, such as pixels of a mask or tokens of a sequence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bitpick.errors import DataError
from bitpick.models.model import Tensor, fits
from bitpick.preprocessing import Arrays
from bitpick.schema.evidence import Measure, Metric
from bitpick.statistics import Replicates, of_means
from bitpick.statistics.channels import windows
from bitpick.tasks.classification import threshold_of
from bitpick.tasks.resampled import Resampled, metric_with_interval
from bitpick.tasks.task import Answers, Targets

IGNORED = (-100, -1, 255)  # labels of positions without a class: PyTorch's, a common one, and that of PNG masks
_MEASURES = {"position_accuracy": Measure(name="position_accuracy"), "iou": Measure(name="iou")}


class Segmentation(Resampled):
    """The predicted class at each position against labels of the same shape.

    Positions of a sample vary together, so the resampling unit is the sample.

    Attributes:
        output: index of the output with the scores.
        numbers: whether that output is the class number at each position itself, as ArgMax gives it.
        axes: the possible class axes of an array of shape (n, …); empty if there is one score for each position, for
            two classes. If there are two such axes, the float model shows which one it is.
        count: number of classes.
        second: the label of the second class in masks with one score for two classes: 1, or 255 in images.
        ignored: the label of positions that do not count.
        judged_by: the metric.
        threshold: with one score for two classes, the score above which the second is predicted; None until it is
            known whether scores are probabilities.
    """

    kind: Literal["segmentation"] = "segmentation"
    output: int = 0
    numbers: bool = False
    axes: tuple[int, ...] = ()
    count: int = 2
    second: int = 1
    ignored: int | None = None
    judged_by: Literal["position_accuracy", "iou"] = "position_accuracy"
    threshold: float | None = None

    @property
    def measure(self) -> Measure:
        """See `Task.measure`."""
        return _MEASURES[self.judged_by]

    @property
    def unsettled(self) -> bool:
        """See `Task.unsettled`."""
        return len(self.axes) > 1 or not (self.axes or self.numbers or self.threshold is not None)

    def settled(self, outputs: Arrays, targets: Targets | None) -> Segmentation:
        """See `Task.settled`."""
        if not self.axes:
            scores = outputs[self.output]
            pixels = self.second > 1 and scores.min() >= 0 and scores.max() > 2  # from 0 to 255, like the mask
            return self.model_copy(update={"threshold": self.second / 2 if pixels else threshold_of(scores)})
        assert targets is not None
        candidates = [self.model_copy(update={"axes": (axis,)}) for axis in self.axes]
        return max(candidates, key=lambda task: task.metric(task.answers((), outputs, None), targets).value)

    def answers(self, inputs: Arrays, outputs: Arrays, targets: Targets | None) -> Answers:  # noqa: ARG002 - see Task
        """See `Task.answers`: the class at each position, of shape (n, positions)."""
        scores = outputs[self.output]
        if self.numbers:  # numbers outside the classes become `count`, which is no class
            classes = np.where((scores >= 0) & (scores < self.count), np.rint(scores), self.count)
            return classes.reshape(len(scores), -1).astype(np.int32)
        classes = scores.argmax(axis=self.axes[0]) if self.axes else scores > (self.threshold or 0)
        return classes.reshape(len(scores), -1).astype(np.uint8 if self.count <= 256 else np.int32)

    def replicates(self, answers: Answers, targets: Targets) -> Replicates:
        """See `Resampled.replicates`."""
        return self._replicates(self.judged_by, answers, targets)

    def metrics(self, answers: Answers, outputs: Arrays, targets: Targets) -> list[Metric]:  # noqa: ARG002 - see Task
        """See `Task.metrics`: the other metric."""
        others = [name for name in _MEASURES if name != self.judged_by]
        return [metric_with_interval(self._replicates(name, answers, targets), _MEASURES[name]) for name in others]

    def losses(self, own: Answers, other: Answers, targets: Targets) -> NDArray[np.float64] | None:
        """See `Task.losses`: only for the share of right positions, if all positions count."""
        if self.judged_by != "position_accuracy" or self.ignored is not None:
            return None
        own_right, other_right = (self._right(answers, targets)[:, 0] for answers in (own, other))
        losses: NDArray[np.float64] = (own_right - other_right) / own.shape[1]
        return losses

    def differing(self, first: Answers, second: Answers) -> NDArray[np.bool_]:
        """See `Task.differing`: the samples with a position whose class differs."""
        return np.concatenate([(first[window] != second[window]).any(axis=1) for window in windows(first)])

    def _replicates(self, name: str, answers: Answers, targets: Targets) -> Replicates:
        if name == "position_accuracy":
            return of_means(self._right(answers, targets), lambda means: means[:, 0] / means[:, 1])
        return of_means(self._overlaps(answers, targets), self._iou)

    def _right(self, answers: Answers, targets: Targets) -> NDArray[np.float64]:
        """Count the right positions of each sample, and those that count: shape (n, 2)."""
        counted = []
        for block, true, counts in self._blocks(answers, targets):
            counted.append(np.stack([((block == true) & counts).sum(axis=1), counts.sum(axis=1)], axis=1))
        return np.concatenate(counted).astype(np.float64)

    def _overlaps(self, answers: Answers, targets: Targets) -> NDArray[np.float64]:
        """Count each sample's positions in the intersection and the union of each class: shape (n, 2 · classes)."""
        overlaps = []
        for block, true, counts in self._blocks(answers, targets):
            columns = []
            for number in self._overlap_classes:
                predicted, actual = (block == number) & counts, (true == number) & counts
                columns += [(predicted & actual).sum(axis=1), (predicted | actual).sum(axis=1)]
            overlaps.append(np.stack(columns, axis=1))
        return np.concatenate(overlaps).astype(np.float64)

    def _blocks(self, answers: Answers, targets: Targets) -> Iterator[tuple[Answers, Targets, NDArray[np.bool_]]]:
        """Yield a few samples at a time: the answers, the right classes, and which positions count."""
        for window in windows(answers):
            block = answers[window]
            true = self._true(block, targets[window])
            yield block, true, np.ones(true.shape, np.bool_) if self.ignored is None else true != self.ignored

    def _true(self, answers: Answers, targets: Targets) -> NDArray[Any]:
        """Return the right classes, in the answers' shape."""
        true: NDArray[Any] = targets.reshape(answers.shape)
        return true if self.second == 1 else np.equal(true, self.second).astype(np.uint8)

    @property
    def _overlap_classes(self) -> range:
        """The classes to measure the overlap of: all, or only the second if one score stands for two classes."""
        return range(self.count) if self.axes or self.numbers else range(1, 2)

    @staticmethod
    def _iou(means: NDArray[np.float64]) -> NDArray[np.float64]:
        """Average intersection over union over the classes that occur: shape (m, 2 · classes) to (m,)."""
        intersection, union = means[:, ::2], means[:, 1::2]
        occurs = union > 0
        shares = np.where(occurs, intersection / np.where(occurs, union, 1), 0)
        means_of_classes: NDArray[np.float64] = shares.sum(axis=1) / occurs.sum(axis=1)
        return means_of_classes


def class_axes(tensor: Tensor, labels: tuple[int, ...]) -> tuple[int, ...]:
    """Return the axes of an output that may be the class axis, counted with the batch axis.

    Args:
        tensor: the output.
        labels: the shape of the labels of one sample; axes of size 1 do not matter.
    """
    shape = tensor.shape or ()
    wanted = tuple(size for size in labels if size != 1)
    return tuple(
        axis + 1
        for axis in range(len(shape))
        if shape[axis] != 1
        and axis in (0, len(shape) - 1)
        and fits(wanted, tuple(size for size in shape[:axis] + shape[axis + 1 :] if size != 1))
    )


def checked(labels: NDArray[Any], count: int) -> int | None:
    """Return the label of positions that do not count; None if all count.

    Raises:
        DataError: a label is neither a class nor a known label of positions that do not count.
    """
    outside = [int(each) for each in np.unique(labels) if not 0 <= each < count]
    if not outside:
        return None
    if len(outside) > 1 or outside[0] not in IGNORED:
        raise DataError(
            f"the labels have the value {outside[0]}, and the model gives scores for the classes 0 to {count - 1}",
            expected=f"class numbers, and one of {', '.join(map(str, IGNORED))} for positions that do not count",
        )
    return outside[0]
