"""Any metric on the same samples: intervals and tests by the bootstrap."""

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
    """A statistic with its bootstrap.

    Attributes:
        value: on the samples as they are.
        interval: at the level asked for.
        p_value: one-sided, of the statistic being under the margin; None without a margin.
        undefined: resamples on which the metric had no value.
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
    """The interval of a metric, whatever it is; of an accuracy, Wilson's is exact and costs nothing.

    See `paired_bootstrap` for what is resampled, which interval it is, and what is raised.

    Args:
        metric: takes outputs and targets of the same samples and gives a number.
        outputs: of shape (n, …).
        targets: of shape (n, …).
        level: of the interval, two-sided.
        resamples: how many.
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
    """What one of two models loses in a metric, with an interval, on the same samples.

    Samples are drawn with replacement, each with its outputs of both models and its target, so that what makes a sample
    hard for both cancels (Efron and Tibshirani, An Introduction to the Bootstrap, 1993). The interval is BCa (Efron,
    JASA 82 (1987), 171-185), not percentile: metrics such as the calibration error are biased upwards on resamples,
    and BCa corrects for that and for skew. Its acceleration comes from leaving out groups of samples, one sample each
    up to 200, since a jackknife of 10,000 values of a metric would cost more than the bootstrap.

    A resample on which the metric is not finite for either model (of a class that it lacks, say) tells nothing of the
    drop: the interval is of the others, and the p-value counts it as one that is not under the margin.

    Args:
        metric: takes outputs and targets of the same samples and gives a number.
        reference: outputs of the model that loses nothing, of shape (n, …).
        other: outputs of the other one, of shape (n, …).
        targets: of shape (n, …).
        higher_is_better: whether a higher metric is better; the drop is positive where the other model is worse.
        margin: the drop that must be shown to be more than what is lost; None asks for no test.
        level: of the interval, two-sided.
        resamples: how many.
        seed: of the resamples; the same one gives the same numbers.

    Returns:
        The drop, its interval, and the p-value of "the drop is the margin or more".

    Raises:
        DataError: the arrays are of different lengths, the metric is not finite on the samples as they are, or not on
            more than 1 in 20 resamples.
    """
    sign = 1.0 if higher_is_better else -1.0

    def statistic(places: NDArray[np.int64]) -> float:
        true = targets[places]
        return sign * (float(metric(reference[places], true)) - float(metric(other[places], true)))

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
    found = of_places(statistic, count, resamples, seed).checked()
    p_value = None if margin is None else found.p_under(margin)
    return Bootstrapped(found.value, found.interval(level), p_value, found.undefined)
