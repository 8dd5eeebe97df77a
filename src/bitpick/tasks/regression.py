"""Regression: predict numbers, judged by their errors."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bitpick.preprocessing import Arrays
from bitpick.schema.evidence import Measure, Metric
from bitpick.statistics import Replicates
from bitpick.tasks.formulas import ERRORS, flat, in_unit
from bitpick.tasks.resampled import Resampled
from bitpick.tasks.task import Answers, Targets


class Regression(Resampled):
    """The model's numbers against the labels.

    Attributes:
        output: index of the output with the numbers, of the labels' shape.
        judged_by: the metric.
        unit: of the numbers.
    """

    sees_values = True

    kind: Literal["regression"] = "regression"
    output: int = 0
    judged_by: Literal["mae", "rmse", "r2"] = "mae"
    unit: str = ""

    @property
    def measure(self) -> Measure:
        """See `Task.measure`."""
        return in_unit(ERRORS[self.judged_by].measure, self.unit)

    def answers(self, inputs: Arrays, outputs: Arrays, targets: Targets | None) -> Answers:  # noqa: ARG002 - see Task
        """See `Task.answers`: the output itself, of shape (n, …)."""
        return outputs[self.output]

    def replicates(self, answers: Answers, targets: Targets) -> Replicates:
        """See `Resampled.replicates`."""
        return ERRORS[self.judged_by].replicates(answers, targets)

    def metrics(self, answers: Answers, outputs: Arrays, targets: Targets) -> list[Metric]:  # noqa: ARG002 - see Task
        """See `Task.metrics`: the other two; R² only if the targets vary."""
        varies = bool(np.ptp(flat(targets), axis=0).any())
        others = [name for name in ERRORS if name != self.judged_by and (name != "r2" or varies)]
        return [ERRORS[name].metric(answers, targets, self.unit) for name in others]

    def losses(self, own: Answers, other: Answers, targets: Targets) -> NDArray[np.float64] | None:
        """See `Task.losses`: only for the mean absolute error, which is a mean."""
        if self.judged_by != "mae":
            return None
        own_errors, other_errors = (np.abs(flat(answers) - flat(targets)).mean(axis=1) for answers in (own, other))
        losses: NDArray[np.float64] = other_errors - own_errors
        return losses
