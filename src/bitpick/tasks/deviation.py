"""Deviation: no labels, and outputs that are values: how far a build's are from the float model's."""

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
    """The root mean square of what a build's outputs differ from the float model's, as a share of theirs.

    It is that of the channel that deviates most, of all channels of all outputs; see `channels`. In decibels it is the
    signal over noise: 5% are 26 dB.

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
        parts = self._parts(answers, targets)
        return of_means(_terms(parts), lambda means: _deviations(parts, means).max(axis=1))

    def metric(self, answers: Answers, targets: Targets) -> Metric:
        """See `Task.metric`, with the output and the channel that it is of."""
        parts = self._parts(answers, targets)
        worst = int(_deviations(parts, _terms(parts).mean(axis=0)[None])[0].argmax())
        names = [name for part in parts for name in part.names]
        return super().metric(answers, targets).model_copy(update={"of": names[worst] if len(names) > 1 else None})

    def _parts(self, answers: Answers, targets: Targets) -> list[_Part]:
        floats = unpacked(targets)
        return [
            _Part(name or self.outputs[0], channels(expected), expected, found)
            for name, found in unpacked(answers).items()
            for expected in [floats[name].reshape(found.shape)]  # targets come without a last axis of size 1
        ]


@dataclass(frozen=True)
class _Part:
    """An output, with its channels, as the float model gives it and as a build does."""

    output: str
    known: Channels
    expected: NDArray[Any]
    found: NDArray[Any]

    @property
    def names(self) -> list[str]:
        """Of its groups of channels."""
        called = map(self.known.called, range(len(self.known.groups)))
        return [f"{self.output}, {each}" if each else self.output for each in called]


def _terms(parts: Sequence[_Part]) -> NDArray[np.float64]:
    """What each sample adds to the means of `_deviations`."""
    return np.concatenate([part.known.terms(part.expected, part.found) for part in parts], axis=1)


def _deviations(parts: Sequence[_Part], means: NDArray[np.float64]) -> NDArray[np.float64]:
    """The deviation of each group of channels of each output: from shape (m, means) to (m, groups)."""
    ends = np.cumsum([2 * len(part.known.groups) for part in parts])
    each = zip(parts, np.split(means, ends[:-1], axis=1), strict=True)
    return np.concatenate([part.known.deviations(own) for part, own in each], axis=1)
