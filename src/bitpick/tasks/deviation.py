"""Deviation: for outputs that are values, without labels: how far a build is from the float model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bitpick.preprocessing import Arrays
from bitpick.schema.evidence import Measure, Metric
from bitpick.statistics import Replicates, of_means
from bitpick.statistics.channels import Channels, channels
from bitpick.tasks.parts import packed, unpacked
from bitpick.tasks.resampled import Resampled
from bitpick.tasks.task import Answers, Targets


class Deviation(Resampled):
    """The root mean square difference of a build's outputs from the float model's, relative to the latter.

    It is that of the channel that deviates most, of all outputs; see `channels`. In decibels it is the signal-to-noise
    ratio: 5% are 26 dB.

    Attributes:
        outputs: names of the outputs.
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
        """See `Task.margin_base`: the float model's outputs, because the float32's own deviation is nearly 0."""
        return 1.0

    def answers(self, inputs: Arrays, outputs: Arrays, targets: Targets | None) -> Answers:  # noqa: ARG002 - see Task
        """See `Task.answers`: all outputs, see `packed`."""
        return packed(outputs, self.outputs)

    def replicates(self, answers: Answers, targets: Targets) -> Replicates:
        """See `Resampled.replicates`."""
        parts = self._parts(answers, targets)
        return of_means(_terms(parts), lambda means: _deviations(parts, means).max(axis=1))

    def metric(self, answers: Answers, targets: Targets) -> Metric:
        """See `Task.metric`, with the output and the channel that deviate most."""
        parts = self._parts(answers, targets)
        worst = int(_deviations(parts, _terms(parts).mean(axis=0)[None])[0].argmax())
        names = [name for part in parts for name in part.names]
        return super().metric(answers, targets).model_copy(update={"of": names[worst] if len(names) > 1 else None})

    def _parts(self, answers: Answers, targets: Targets) -> list[_Part]:
        floats = unpacked(targets)
        return [
            _Part(name or self.outputs[0], channels(expected), expected, actual)
            for name, actual in unpacked(answers).items()
            for expected in [floats[name].reshape(actual.shape)]  # targets lack a last axis of size 1
        ]


@dataclass(frozen=True)
class _Part:
    """The values of an output, from the float model and from a build, with its channels."""

    output: str
    channels: Channels
    expected: NDArray[Any]
    actual: NDArray[Any]

    @property
    def names(self) -> list[str]:
        """The names of the groups of channels."""
        labels = map(self.channels.label, range(len(self.channels.groups)))
        return [f"{self.output}, {label}" if label else self.output for label in labels]


def _terms(parts: Sequence[_Part]) -> NDArray[np.float64]:
    """Return the contribution of each sample to the means of `_deviations`."""
    return np.concatenate([part.channels.terms(part.expected, part.actual) for part in parts], axis=1)


def _deviations(parts: Sequence[_Part], means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the deviation of each group of channels of each output: shape (m, means) to (m, groups)."""
    ends = np.cumsum([2 * len(part.channels.groups) for part in parts])
    parts_with_means = zip(parts, np.split(means, ends[:-1], axis=1), strict=True)
    return np.concatenate([part.channels.deviations(part_means) for part, part_means in parts_with_means], axis=1)
