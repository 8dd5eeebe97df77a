"""Tasks whose metric has no exact test: what is shown of it comes from resamples, the same ones for all rows."""

from __future__ import annotations

import hashlib
import math
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.schema.evidence import Measure, Metric
from bitpick.statistics import Replicates
from bitpick.tasks.task import Answers, Targets, Task, Versus

_KEPT = 64  # rows of a run that are compared over and over


class Resampled(Task):
    """A task that is judged by the paired bootstrap: intervals and tests by BCa."""

    @abstractmethod
    def replicates(self, answers: Answers, targets: Targets) -> Replicates:
        """The metric on all samples and on resamples of them, which are the same for the same number of samples."""

    def metric(self, answers: Answers, targets: Targets) -> Metric:
        """See `Task.metric`."""
        return got(self._known(answers, targets), self.measure)

    def drop(self, own: Answers, other: Answers, targets: Targets) -> float:
        """See `Task.drop`."""
        lost = self._known(own, targets).value - self._known(other, targets).value
        return lost if self.measure.higher_is_better else -lost

    def versus(self, own: Answers, other: Answers, targets: Targets) -> Versus:
        """See `Task.versus`."""
        drop = self._drop(own, other, targets)
        interval = self.measure.possible(self._known(own, targets).value, drop.interval())
        return Versus(drop=drop.value, drop_interval=interval, p_value=drop.p_zero())

    def score(self, own: Answers, other: Answers, targets: Targets, margin: float) -> float:
        """See `Task.score`."""
        return self._drop(own, other, targets).score(margin)

    def spread(self, pairs: Sequence[tuple[Answers, Answers]], targets: Targets) -> NDArray[np.float64]:
        """See `Task.spread`: the drops on the same resamples; one that has no value is the mean of the others."""
        drawn = np.stack([self._drop(own, other, targets).drawn for own, other in pairs], axis=1)
        known = np.isfinite(drawn)
        means = np.where(known, drawn, 0).sum(axis=0) / known.sum(axis=0)
        found: NDArray[np.float64] = np.where(known, drawn, means)
        return found

    def _drop(self, own: Answers, other: Answers, targets: Targets) -> Replicates:
        """What `other` loses, on the same resamples."""
        first, second = (self._known(each, targets).checked() for each in (own, other))
        return first - second if self.measure.higher_is_better else second - first

    def _known(self, answers: Answers, targets: Targets) -> Replicates:
        """The replicates, which are computed once: a row is compared with many others."""
        key = (self, _digest(answers), _digest(targets))
        if key not in _REPLICATES:
            _REPLICATES[key] = self.replicates(answers, targets)
            if len(_REPLICATES) > _KEPT:
                _REPLICATES.popitem(last=False)
        _REPLICATES.move_to_end(key)  # a float32 is compared with all others: it is not what goes
        return _REPLICATES[key]


_REPLICATES: OrderedDict[tuple[Resampled, str, str], Replicates] = OrderedDict()


def _digest(array: NDArray[Any]) -> str:
    header = f"{array.dtype.descr} {array.shape}".encode()
    found = hashlib.blake2b(header, digest_size=16)
    found.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return found.hexdigest()


def got(found: Replicates, measure: Measure) -> Metric:
    """A metric with its interval, from its replicates; without one where too many resamples have no value.

    Raises:
        DataError: it has no value on the samples as they are.
    """
    if not math.isfinite(found.value):
        found.checked()
    return Metric(**measure.model_dump(), value=found.value, interval=found.interval() if found.enough else None)
