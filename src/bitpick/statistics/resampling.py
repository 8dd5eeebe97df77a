"""Bootstrap intervals and tests of any metric."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.errors import DataError
from bitpick.statistics.resamples import RESAMPLES, of_places

Metric = Callable[[NDArray[Any], NDArray[Any]], float]


@dataclass(frozen=True)
class Bootstrapped:
    """A bootstrapped statistic.

    Attributes:
        value: on the original samples.
        interval: at the requested level.
        p_value: one-sided, of the statistic being under the margin; None without a margin.
        undefined: number of resamples on which the metric has no value.
    """

    value: float
    interval: tuple[float, float]
    p_value: float | None
    undefined: int


def bootstrap(
    metric: Metric,
    outputs: NDArray[Any],
    targets: NDArray[Any],
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Bootstrapped:
    """Bootstrap the interval of any metric; for an accuracy, Wilson's interval costs nothing.

    See `paired_bootstrap` for the resampling, the kind of interval, and the errors.

    Args:
        metric: takes outputs and targets of the same samples and returns a number.
        outputs: of shape (n, …).
        targets: of shape (n, …).
        level: of the interval, two-sided.
        resamples: number of resamples.
        seed: of the resamples.
    """

    def statistic(places: NDArray[np.int64]) -> float:
        return float(metric(outputs[places], targets[places]))

    return _bootstrapped(statistic, _count(outputs, targets), None, level, resamples, seed)


def paired_bootstrap(
    metric: Metric,
    reference: NDArray[Any],
    other: NDArray[Any],
    targets: NDArray[Any],
    *,
    higher_is_better: bool = True,
    margin: float | None = None,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Bootstrapped:
    """Bootstrap what one of two models loses in a metric against the other, on the same samples.

    Samples are drawn with replacement, each with the outputs of both models and its target, so that what makes a sample
    hard for both cancels (Efron and Tibshirani, An Introduction to the Bootstrap, 1993). The interval is BCa (Efron,
    JASA 82 (1987), 171-185), not percentile: metrics such as the calibration error are biased upwards on resamples,
    and BCa corrects for bias and skew. Its acceleration is a jackknife over at most 200 groups of samples, because a
    jackknife over 10,000 samples would cost more than the bootstrap.

    A resample on which the metric is not finite for a model, for example because a class is missing, says nothing about
    the drop: the interval ignores it, and the p-value counts it as not under the margin.

    Args:
        metric: takes outputs and targets of the same samples and returns a number.
        reference: outputs of the reference model, of shape (n, …).
        other: outputs of the other model, of shape (n, …).
        targets: of shape (n, …).
        higher_is_better: whether a higher metric is better; the drop is positive if the other model is worse.
        margin: tests whether the drop is under this margin; no test if None.
        level: of the interval, two-sided.
        resamples: number of resamples.
        seed: of the resamples; the same seed gives the same numbers.

    Returns:
        The drop, its interval, and the p-value of "the drop is the margin or more".

    Raises:
        DataError: the arrays have different lengths, or the metric is not finite on the original samples, or on more
            than 1 in 20 resamples.
    """
    sign = 1.0 if higher_is_better else -1.0

    def statistic(places: NDArray[np.int64]) -> float:
        right_answers = targets[places]
        return sign * (float(metric(reference[places], right_answers)) - float(metric(other[places], right_answers)))

    return _bootstrapped(statistic, _count(reference, other, targets), margin, level, resamples, seed)


def _count(*arrays: NDArray[Any]) -> int:
    lengths = {len(array) for array in arrays}
    if len(lengths) != 1 or 0 in lengths:
        raise DataError(
            f"a metric was asked for of arrays with {', '.join(map(str, sorted(lengths)))} samples",
            expected="outputs and targets of the same samples, at least one",
        )
    return lengths.pop()


def _bootstrapped(
    statistic: Callable[[NDArray[np.int64]], float],
    count: int,
    margin: float | None,
    level: float,
    resamples: int,
    seed: int,
) -> Bootstrapped:
    replicates = of_places(statistic, count, resamples, seed).checked()
    p_value = None if margin is None else replicates.p_under(margin)
    return Bootstrapped(replicates.value, replicates.interval(level), p_value, replicates.undefined)
