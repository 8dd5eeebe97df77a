"""The contract of a task: what a model is for, how to measure a build's answers, and how to compare two builds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from bitpick.preprocessing import Arrays
from bitpick.schema.evidence import Accuracy, Measure, Metric

Answers = NDArray[Any]
"""The part of a build's outputs that is kept for each sample: array of shape (n, …)."""
Targets = NDArray[Any]
"""The right answers: array of shape (n, …)."""


@dataclass(frozen=True)
class Versus:
    """What one build loses against another on the same samples, see `VersusBaseline`."""

    drop: float
    drop_interval: tuple[float, float]
    p_value: float
    flips: int | None = None
    only_baseline: int | None = None
    only_row: int | None = None


class Task(BaseModel, ABC):
    """A task; it is sent to workers as its fields.

    Attributes:
        kind: its name, as users and run.json write it.
        sees_inputs: whether the answers depend on the inputs as well as the outputs.
        sees_values: whether labels are compared as the source writes them, not as class numbers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sees_inputs: ClassVar[bool] = False
    sees_values: ClassVar[bool] = False

    kind: str

    @property
    @abstractmethod
    def measure(self) -> Measure:
        """The metric to judge builds by."""

    @property
    def default_margin(self) -> str:
        """The default margin, the largest acceptable drop: 1% of a score, 5% of an error.

        A share of an error is stricter than the same share of a score: at an accuracy of 90%, 1% of the accuracy is 9%
        of the error.
        """
        return "1%" if self.measure.higher_is_better else "5%"

    @property
    def code(self) -> str | None:
        """The digest of the user's code for the metric; None if there is none."""
        return None

    @property
    def against_float(self) -> bool:
        """Whether the float model's answers count as right."""
        return False

    @property
    def unsettled(self) -> bool:
        """Whether the task needs the float model's outputs before it can judge."""
        return False

    def settled(self, outputs: Arrays, targets: Targets | None) -> Task:  # noqa: ARG002 - most are settled
        """Return the task completed with what the float model's outputs show.

        Args:
            outputs: the float model's outputs for some samples, float32.
            targets: the right answers for these samples.

        Raises:
            RequestError: the outputs do not fit the task.
        """
        return self

    @property
    def margin_base(self) -> float | None:
        """What a margin in percent is a share of; None for the float32's value."""
        return None

    @abstractmethod
    def answers(self, inputs: Arrays, outputs: Arrays, targets: Targets | None) -> Answers:
        """Return what is kept of a batch.

        Args:
            inputs: as the model took them.
            outputs: its outputs, float32.
            targets: the labels of the batch; None if the data set has none.
        """

    @abstractmethod
    def metric(self, answers: Answers, targets: Targets) -> Metric:
        """Return the metric with its interval."""

    @abstractmethod
    def drop(self, own: Answers, other: Answers, targets: Targets) -> float:
        """Return how much worse the metric of `other` is than that of `own`."""

    @abstractmethod
    def versus(self, own: Answers, other: Answers, targets: Targets) -> Versus:
        """Compare `other` with `own`, the float32 build of the same engine."""

    @abstractmethod
    def score(self, own: Answers, other: Answers, targets: Targets, margin: float) -> float:
        """Return the evidence that the drop is under a margin, in standard errors."""

    @abstractmethod
    def spread(self, pairs: Sequence[tuple[Answers, Answers]], targets: Targets) -> NDArray[np.float64]:
        """Return how the drops of several builds vary together.

        Args:
            pairs: for each build, the answers of its float32 and its own.
            targets: the right answers for the same samples.

        Returns:
            Array of shape (m, builds); its columns are correlated as the drops are.
        """

    def metrics(self, answers: Answers, outputs: Arrays, targets: Targets) -> list[Metric]:  # noqa: ARG002 - some have more
        """Return further metrics."""
        return []

    def accuracy(self, answers: Answers, outputs: Arrays, targets: Targets) -> Accuracy | None:  # noqa: ARG002 - of classes
        """Return the accuracy, overall and for each class; None if the task does not predict labelled classes."""
        return None

    def losses(self, own: Answers, other: Answers, targets: Targets) -> NDArray[np.float64] | None:  # noqa: ARG002
        """Return the contribution of each sample to the drop, which is their mean; None if the drop is not a mean."""
        return None

    def differing(self, first: Answers, second: Answers) -> NDArray[np.bool_]:
        """Return which samples two builds answer differently; values must differ noticeably. Shape (n,)."""
        differs = np.zeros(len(first), np.bool_)
        if first.dtype.names:  # an answer of several parts
            for name in first.dtype.names:
                differs |= self.differing(first[name], second[name])
            return differs
        tolerance = 1e-3 * float(np.sqrt(np.mean(np.square(first, dtype=np.float64))))
        close = np.isclose(first, second, rtol=1e-2, atol=tolerance)
        return np.logical_not(np.all(close.reshape(len(first), -1), axis=1), out=differs)

    def correct(self, answers: Answers, targets: Targets) -> int | None:  # noqa: ARG002 - of classes
        """Count the samples that are right; None if samples are not right or wrong."""
        return None

    def groups(self, targets: Targets) -> NDArray[np.int64]:
        """Return the strata, such as classes, for dividing samples: shape (n,)."""
        return np.zeros(len(targets), np.int64)
