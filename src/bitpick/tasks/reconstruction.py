"""Reconstruction: the model reproduces its input."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bitpick.preprocessing import Arrays
from bitpick.schema.evidence import Measure, Metric
from bitpick.statistics import Replicates
from bitpick.tasks.formulas import ERRORS, flat, in_unit
from bitpick.tasks.resampled import Resampled, metric_with_interval
from bitpick.tasks.task import Answers, Targets


class Reconstruction(Resampled):
    """How far the model's output is from its preprocessed input.

    Attributes:
        output: index of the output with the reconstruction.
        input: index of the input to compare it with.
        judged_by: the metric.
        unit: of the values.
    """

    sees_inputs = True

    kind: Literal["reconstruction"] = "reconstruction"
    output: int = 0
    input: int = 0
    judged_by: Literal["mae", "rmse"] = "mae"
    unit: str = ""

    @property
    def measure(self) -> Measure:
        """See `Task.measure`."""
        return in_unit(ERRORS[self.judged_by].measure, self.unit)

    def answers(self, inputs: Arrays, outputs: Arrays, targets: Targets | None) -> Answers:  # noqa: ARG002 - see Task
        """See `Task.answers`: the mean absolute and mean squared error of each sample, of shape (n, 2)."""
        return errors(inputs[self.input], outputs[self.output])

    def replicates(self, answers: Answers, targets: Targets) -> Replicates:  # noqa: ARG002 - it needs none
        """See `Resampled.replicates`."""
        return error_replicates(self.judged_by, answers)

    def metrics(self, answers: Answers, outputs: Arrays, targets: Targets) -> list[Metric]:  # noqa: ARG002 - see Task
        """See `Task.metrics`: the other error."""
        return [error(name, answers, self.unit) for name in ("mae", "rmse") if name != self.judged_by]

    def losses(self, own: Answers, other: Answers, targets: Targets) -> NDArray[np.float64] | None:  # noqa: ARG002
        """See `Task.losses`: only for the mean absolute error, which is a mean."""
        return other[:, 0] - own[:, 0] if self.judged_by == "mae" else None


def errors(inputs: NDArray[np.generic], outputs: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the mean absolute and mean squared error of each sample: arrays of shape (n, …) to shape (n, 2)."""
    difference = flat(outputs) - flat(inputs)
    return np.stack([np.abs(difference).mean(axis=1), np.square(difference).mean(axis=1)], axis=1)


def error_replicates(name: str, answers: Answers) -> Replicates:
    """Compute an error on resamples, from each sample's errors of shape (n, 2)."""
    # √(mean square) stands for a sample with one value: its square is the sample's mean square.
    values = answers[:, 0] if name == "mae" else np.sqrt(answers[:, 1])
    return ERRORS[name].replicates(values, np.zeros(len(values)))


def error(name: str, answers: Answers, unit: str) -> Metric:
    """Compute an error with its interval, from each sample's errors of shape (n, 2)."""
    return metric_with_interval(error_replicates(name, answers), in_unit(ERRORS[name].measure, unit))
