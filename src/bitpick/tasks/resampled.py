"""Tasks with a metric that has no exact test: they use the bootstrap, with the same resamples for all rows."""

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

_KEPT = 64  # replicates in the cache; rows of a run are compared again and again


class Resampled(Task):
    """A task that is judged by the paired bootstrap, with BCa intervals and tests."""

    @abstractmethod
    def replicates(self, answers: Answers, targets: Targets) -> Replicates:
        """Compute the metric on all samples and on resamples, which only depend on the number of samples."""

    def metric(self, answers: Answers, targets: Targets) -> Metric:
        """See `Task.metric`."""
        return metric_with_interval(self._cached_replicates(answers, targets), self.measure)

    def drop(self, own: Answers, other: Answers, targets: Targets) -> float:
        """See `Task.drop`."""
        difference = self._cached_replicates(own, targets).value - self._cached_replicates(other, targets).value
        return difference if self.measure.higher_is_better else -difference

    def versus(self, own: Answers, other: Answers, targets: Targets) -> Versus:
        """See `Task.versus`."""
        drop = self._drop(own, other, targets)
        interval = self.measure.possible(self._cached_replicates(own, targets).value, drop.interval())
        return Versus(drop=drop.value, drop_interval=interval, p_value=drop.p_zero())

    def score(self, own: Answers, other: Answers, targets: Targets, margin: float) -> float:
        """See `Task.score`."""
        return self._drop(own, other, targets).score(margin)

    def spread(self, pairs: Sequence[tuple[Answers, Answers]], targets: Targets) -> NDArray[np.float64]:
        """See `Task.spread`: the drops on the same resamples; undefined ones become the mean of the others."""
        drawn = np.stack([self._drop(own, other, targets).drawn for own, other in pairs], axis=1)
        defined = np.isfinite(drawn)
        means = np.where(defined, drawn, 0).sum(axis=0) / defined.sum(axis=0)
        filled: NDArray[np.float64] = np.where(defined, drawn, means)
        return filled

    def _drop(self, own: Answers, other: Answers, targets: Targets) -> Replicates:
        """Return the drop of `other` against `own`, on the same resamples."""
        own_replicates, other_replicates = (
            self._cached_replicates(answers, targets).checked() for answers in (own, other)
        )
        return own_replicates - other_replicates if self.measure.higher_is_better else other_replicates - own_replicates

    def _cached_replicates(self, answers: Answers, targets: Targets) -> Replicates:
        """Return the replicates from a cache, because a row is compared with many others."""
        key = (self, _digest(answers), _digest(targets))
        if key not in _REPLICATES:
            _REPLICATES[key] = self.replicates(answers, targets)
            if len(_REPLICATES) > _KEPT:
                _REPLICATES.popitem(last=False)
        _REPLICATES.move_to_end(key)  # keeps a float32, which is compared with all others, in the cache
        return _REPLICATES[key]


_REPLICATES: OrderedDict[tuple[Resampled, str, str], Replicates] = OrderedDict()


def _digest(array: NDArray[Any]) -> str:
    header = f"{array.dtype.descr} {array.shape}".encode()
    digest = hashlib.blake2b(header, digest_size=16)
    digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def metric_with_interval(replicates: Replicates, measure: Measure) -> Metric:
    """Return a metric with its interval, from its replicates; without an interval if too many resamples have no value.

    Raises:
        DataError: the metric has no value on the original samples.
    """
    if not math.isfinite(replicates.value):
        replicates.checked()
    return Metric(
        **measure.model_dump(), value=replicates.value, interval=replicates.interval() if replicates.enough else None
    )
