"""The contract: what a model is for, how one build's answers are measured, and how two builds are compared."""

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
"""What is kept of a build's outputs for each sample: array of shape (n, …)."""
Targets = NDArray[Any]
"""What the answers are compared with: array of shape (n, …)."""


@dataclass(frozen=True)
class Versus:
    """What one build loses against another on the same samples; see `VersusBaseline`."""

    drop: float
    drop_interval: tuple[float, float]
    p_value: float
    flips: int | None = None
    only_baseline: int | None = None
    only_row: int | None = None


class Task(BaseModel, ABC):
    """A task. It crosses to workers as its fields.

    Attributes:
        kind: its name, as users and run.json write it.
        sees_inputs: whether the answers depend on what went in, beside what came out.
        sees_values: whether labels are compared as the source writes them, and not as the numbers of their classes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sees_inputs: ClassVar[bool] = False
    sees_values: ClassVar[bool] = False

    kind: str

    @property
    @abstractmethod
    def measure(self) -> Measure:
        """The metric that builds are judged by."""

    @property
    def default_margin(self) -> str:
        """The largest drop that does no harm, where the user says none: 1% of what is right, 5% of an error.

        A share of an error is a stricter thing than that share of what is right: at an accuracy of 90%, 1% of it is 9%
        of the error.
        """
        return "1%" if self.measure.higher_is_better else "5%"

    @property
    def code(self) -> str | None:
        """The digest of code of the user's own that says how builds are judged; None where there is none."""
        return None

    @property
    def against_float(self) -> bool:
        """Whether what the float model answers is what is right."""
        return False

    @property
    def unsettled(self) -> bool:
        """Whether the task must see what the float model gives before it can judge."""
        return False

    def settled(self, outputs: Arrays, targets: Targets | None) -> Task:  # noqa: ARG002 - most are settled
        """The task with what follows from what the float model gives.

        Args:
            outputs: of some samples, float32.
            targets: theirs.

        Raises:
            RequestError: with these the task cannot be.
        """
        return self

    @property
    def margin_base(self) -> float | None:
        """What a margin in percent is a share of; None for the float32's own value."""
        return None

    @abstractmethod
    def answers(self, inputs: Arrays, outputs: Arrays, targets: Targets | None) -> Answers:
        """What is kept of a batch.

        Args:
            inputs: as the model took them.
            outputs: what it gave for them, float32.
            targets: the labels of the batch; None where the data set has none.
        """

    @abstractmethod
    def metric(self, answers: Answers, targets: Targets) -> Metric:
        """The metric with its interval."""

    @abstractmethod
    def drop(self, own: Answers, other: Answers, targets: Targets) -> float:
        """How much worse the metric of `other` is than that of `own`."""

    @abstractmethod
    def versus(self, own: Answers, other: Answers, targets: Targets) -> Versus:
        """What `other` loses against `own`, the float32 build of the same engine."""

    @abstractmethod
    def score(self, own: Answers, other: Answers, targets: Targets, margin: float) -> float:
        """How far the drop is shown to be under a margin, in standard errors."""

    @abstractmethod
    def spread(self, pairs: Sequence[tuple[Answers, Answers]], targets: Targets) -> NDArray[np.float64]:
        """How the drops of several builds vary together.

        Args:
            pairs: the answers of the float32 and of the build, for each build.
            targets: of the same samples.

        Returns:
            Array of shape (m, builds), whose columns are correlated as the drops are.
        """

    def metrics(self, answers: Answers, outputs: Arrays, targets: Targets) -> list[Metric]:  # noqa: ARG002 - some have more
        """Further metrics that say more."""
        return []

    def accuracy(self, answers: Answers, outputs: Arrays, targets: Targets) -> Accuracy | None:  # noqa: ARG002 - of classes
        """How many are right, of all and of each class; None where that is not the question."""
        return None

    def losses(self, own: Answers, other: Answers, targets: Targets) -> NDArray[np.float64] | None:  # noqa: ARG002
        """What each sample adds to the drop, which is their mean: shape (n,); None where the drop is no mean."""
        return None

    def differing(self, first: Answers, second: Answers) -> NDArray[np.bool_]:
        """The samples that two builds answer differently, or noticeably so: shape (n,)."""
        found = np.zeros(len(first), np.bool_)
        if first.dtype.names:  # an answer of several parts
            for name in first.dtype.names:
                found |= self.differing(first[name], second[name])
            return found
        tolerance = 1e-3 * float(np.sqrt(np.mean(np.square(first, dtype=np.float64))))
        close = np.isclose(first, second, rtol=1e-2, atol=tolerance)
        return np.logical_not(np.all(close.reshape(len(first), -1), axis=1), out=found)

    def correct(self, answers: Answers, targets: Targets) -> int | None:  # noqa: ARG002 - of classes
        """How many samples are right; None where samples are not right or wrong."""
        return None

    def groups(self, targets: Targets) -> NDArray[np.int64]:
        """Which samples belong together, as classes do, when samples are divided: shape (n,)."""
        return np.zeros(len(targets), np.int64)
