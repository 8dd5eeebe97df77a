"""A class for each position of a sample: pixels of a mask, tokens of a sequence."""

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
from bitpick.tasks.resampled import Resampled, got
from bitpick.tasks.task import Answers, Targets

IGNORED = (-100, -1, 255)  # what labels of no class are written as, by PyTorch, by others, and in PNG masks
_MEASURES = {"position_accuracy": Measure(name="position_accuracy"), "iou": Measure(name="iou")}


class Segmentation(Resampled):
    """The class at each position, beside labels of the positions' shape.

    Samples vary, and positions of a sample vary together: resamples are of samples.

    Attributes:
        output: which of the model's outputs has the scores.
        numbers: whether it has the number of the class at each position itself, as ArgMax gives it.
        axes: along which axes of an array of shape (n, …) the classes may have their scores; empty where there is one
            score for each position, of two classes. Where there are two, the float model shows which one it is.
        count: how many classes there are.
        second: what masks write for the second of two classes, where one score tells them apart: 1, or 255 in pictures.
        ignored: the label of positions that count for nothing.
        judged_by: the metric.
        threshold: of one score, above which a position is of the second class; None until it is known whether scores
            are probabilities.
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
            drawn = self.second > 1 and scores.min() >= 0 and scores.max() > 2  # as the mask is, from 0 to 255
            return self.model_copy(update={"threshold": self.second / 2 if drawn else threshold_of(scores)})
        assert targets is not None
        each = [self.model_copy(update={"axes": (axis,)}) for axis in self.axes]
        return max(each, key=lambda task: task.metric(task.answers((), outputs, None), targets).value)

    def answers(self, inputs: Arrays, outputs: Arrays, targets: Targets | None) -> Answers:  # noqa: ARG002 - see Task
        """See `Task.answers`: the class at each position, of shape (n, positions)."""
        scores = outputs[self.output]
        if self.numbers:  # none of the classes is one more than all of them
            found = np.where((scores >= 0) & (scores < self.count), np.rint(scores), self.count)
            return found.reshape(len(scores), -1).astype(np.int32)
        found = scores.argmax(axis=self.axes[0]) if self.axes else scores > (self.threshold or 0)
        return found.reshape(len(scores), -1).astype(np.uint8 if self.count <= 256 else np.int32)

    def replicates(self, answers: Answers, targets: Targets) -> Replicates:
        """See `Resampled.replicates`."""
        return self._replicates(self.judged_by, answers, targets)

    def metrics(self, answers: Answers, outputs: Arrays, targets: Targets) -> list[Metric]:  # noqa: ARG002 - see Task
        """See `Task.metrics`: the other one."""
        others = [name for name in _MEASURES if name != self.judged_by]
        return [got(self._replicates(name, answers, targets), _MEASURES[name]) for name in others]

    def losses(self, own: Answers, other: Answers, targets: Targets) -> NDArray[np.float64] | None:
        """See `Task.losses`: of the share of right positions, where as many of each sample count."""
        if self.judged_by != "position_accuracy" or self.ignored is not None:
            return None
        first, second = (self._right(each, targets)[:, 0] for each in (own, other))
        lost: NDArray[np.float64] = (first - second) / own.shape[1]
        return lost

    def differing(self, first: Answers, second: Answers) -> NDArray[np.bool_]:
        """See `Task.differing`: the samples with a position of another class."""
        return np.concatenate([(first[each] != second[each]).any(axis=1) for each in windows(first)])

    def _replicates(self, name: str, answers: Answers, targets: Targets) -> Replicates:
        if name == "position_accuracy":
            return of_means(self._right(answers, targets), lambda means: means[:, 0] / means[:, 1])
        return of_means(self._overlaps(answers, targets), self._iou)

    def _right(self, answers: Answers, targets: Targets) -> NDArray[np.float64]:
        """How many positions of each sample are right, and how many count: shape (n, 2)."""
        found = []
        for each, true, counts in self._blocks(answers, targets):
            found.append(np.stack([((each == true) & counts).sum(axis=1), counts.sum(axis=1)], axis=1))
        return np.concatenate(found).astype(np.float64)

    def _overlaps(self, answers: Answers, targets: Targets) -> NDArray[np.float64]:
        """Of each class, in how many positions of each sample both are of it, and at least one is: (n, 2 · classes)."""
        found = []
        for block, true, counts in self._blocks(answers, targets):
            columns = []
            for each in self._told:
                mine, right = (block == each) & counts, (true == each) & counts
                columns += [(mine & right).sum(axis=1), (mine | right).sum(axis=1)]
            found.append(np.stack(columns, axis=1))
        return np.concatenate(found).astype(np.float64)

    def _blocks(self, answers: Answers, targets: Targets) -> Iterator[tuple[Answers, Targets, NDArray[np.bool_]]]:
        """A few samples at a time: the answers, what is right, and which positions count."""
        for window in windows(answers):
            block = answers[window]
            true = self._true(block, targets[window])
            yield block, true, np.ones(true.shape, np.bool_) if self.ignored is None else true != self.ignored

    def _true(self, answers: Answers, targets: Targets) -> NDArray[Any]:
        """The right classes, of the answers' shape."""
        true: NDArray[Any] = targets.reshape(answers.shape)
        return true if self.second == 1 else np.equal(true, self.second).astype(np.uint8)

    @property
    def _told(self) -> range:
        """The classes that the overlap is measured of: of two that one score tells apart, the second."""
        return range(self.count) if self.axes or self.numbers else range(1, 2)

    @staticmethod
    def _iou(means: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mean over classes that occur of intersection over union: shape (m, 2 · classes) to (m,)."""
        both, either = means[:, ::2], means[:, 1::2]
        there = either > 0
        shares = np.where(there, both / np.where(there, either, 1), 0)
        found: NDArray[np.float64] = shares.sum(axis=1) / there.sum(axis=1)
        return found


def class_axes(tensor: Tensor, labels: tuple[int, ...]) -> tuple[int, ...]:
    """On which axes an output may have the scores of classes, as those of an array with a batch axis.

    Args:
        tensor: the output.
        labels: the shape of the labels of one sample; axes of size 1 change nothing.
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
    """The label of positions that count for nothing; None where all count.

    Raises:
        DataError: there are labels of no class that are not known to mean that.
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
