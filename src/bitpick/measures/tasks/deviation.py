"""Deviation: no labels, and outputs that are values: how far a build's are from the float model's."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bitpick.evidence import Measure
from bitpick.measures.tasks.formulas import flat
from bitpick.measures.tasks.parts import packed, unpacked
from bitpick.measures.tasks.resampled import Resampled
from bitpick.measures.tasks.task import Answers, Targets
from bitpick.preprocessing import Arrays
from bitpick.statistics import Replicates, of_means


class Deviation(Resampled):
    """The root mean square of what a build's outputs differ from the float model's, as a share of theirs.

    Of several outputs that of the one that deviates most. In decibels it is the signal over noise: 5% are 26 dB.

    Attributes:
        outputs: their names.
    """

    kind: Literal["deviation"] = "deviation"
    outputs: tuple[str, ...]

    @property
    def measure(self) -> Measure:
        """See `Task.measure`."""
        return Measure(name="deviation", higher_is_better=False)

    @property
    def against_float(self) -> bool:
        """See `Task.against_float`."""
        return True

    @property
    def margin_base(self) -> float:
        """See `Task.margin_base`: the float model's own outputs; the float32's deviation is nearly nothing."""
        return 1.0

    def answers(self, inputs: Arrays, outputs: Arrays, targets: Targets | None) -> Answers:  # noqa: ARG002 - see Task
        """See `Task.answers`: all outputs, see `packed`."""
        return packed(outputs, self.outputs)

    def replicates(self, answers: Answers, targets: Targets) -> Replicates:
        """See `Resampled.replicates`."""
        floats = unpacked(targets)
        sums = []
        for name, found in unpacked(answers).items():
            expected = flat(floats[name])
            sums += [np.square(flat(found) - expected).sum(axis=1), np.square(expected).sum(axis=1)]
        return of_means(np.stack(sums, axis=1), _largest)


def _largest(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """The largest of √(noise / signal), of means of noise and signal in turn: shape (m, 2·outputs) to (m,)."""
    noise, signal = means[:, ::2], means[:, 1::2]
    found: NDArray[np.float64] = np.sqrt(np.where(noise == 0, 0.0, noise / signal)).max(axis=1)
    return found
