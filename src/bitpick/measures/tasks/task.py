"""The contract: what a model is for, how one build's answers are measured, and how two builds are compared."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from bitpick.evidence import Accuracy, Metric
from bitpick.preprocessing import Arrays

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
        default_margin: the largest drop that does no harm, where the user says none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    default_margin: ClassVar[str] = "1%"

    kind: str

    @property
    def against_float(self) -> bool:
        """Whether what the float model answers is what is right."""
        return False

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
    def value(self, answers: Answers, targets: Targets) -> float:
        """The metric on some samples."""

    @abstractmethod
    def metric(self, answers: Answers, targets: Targets) -> Metric:
        """The metric with its interval."""

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
        tolerance = 1e-3 * float(np.sqrt(np.mean(np.square(first, dtype=np.float64))))
        close = np.isclose(first, second, rtol=1e-2, atol=tolerance)
        found: NDArray[np.bool_] = np.logical_not(np.all(close.reshape(len(first), -1), axis=1))
        return found

    def correct(self, answers: Answers, targets: Targets) -> int | None:  # noqa: ARG002 - of classes
        """How many samples are right; None where samples are not right or wrong."""
        return None

    def groups(self, targets: Targets) -> NDArray[np.int64]:
        """Which samples belong together, as classes do, when samples are divided: shape (n,)."""
        return np.zeros(len(targets), np.int64)
