"""Anomaly detection by reconstruction: samples that the model reconstructs badly count as abnormal."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bitpick.preprocessing import Arrays
from bitpick.schema.evidence import Measure, Metric
from bitpick.statistics import Replicates
from bitpick.tasks.formulas import AUC
from bitpick.tasks.reconstruction import error, errors
from bitpick.tasks.resampled import Resampled
from bitpick.tasks.task import Answers, Targets


class Anomaly(Resampled):
    """How well the mean squared reconstruction error separates abnormal samples, labelled 1, from normal ones.

    Attributes:
        output: index of the output with the reconstruction.
        input: index of the input to compare it with.
        unit: of the values.
    """

    sees_inputs = True

    kind: Literal["anomaly"] = "anomaly"
    output: int = 0
    input: int = 0
    unit: str = ""

    @property
    def measure(self) -> Measure:
        """See `Task.measure`."""
        return AUC.measure

    def answers(self, inputs: Arrays, outputs: Arrays, targets: Targets | None) -> Answers:  # noqa: ARG002 - see Task
        """See `Task.answers`: the mean absolute and mean squared error of each sample, of shape (n, 2)."""
        return errors(inputs[self.input], outputs[self.output])

    def replicates(self, answers: Answers, targets: Targets) -> Replicates:
        """See `Resampled.replicates`."""
        return AUC.replicates(answers[:, 1], targets)

    def metrics(self, answers: Answers, outputs: Arrays, targets: Targets) -> list[Metric]:  # noqa: ARG002 - see Task
        """See `Task.metrics`: the errors on the normal samples, which the model learned to reconstruct."""
        normal = answers[targets == 0]
        return [
            error(name, normal, self.unit).model_copy(update={"name": f"{name}_normal"}) for name in ("mae", "rmse")
        ]

    def groups(self, targets: Targets) -> NDArray[np.int64]:
        """See `Task.groups`: normal and abnormal."""
        return targets.astype(np.int64)
