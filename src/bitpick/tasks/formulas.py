"""Metrics that are made of means over samples, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bitpick.schema.evidence import Measure, Metric
from bitpick.statistics import Combined, Replicates, of_means
from bitpick.tasks.resampled import got
from bitpick.tasks.task import Answers, Targets


@dataclass(frozen=True)
class Terms:
    """A metric of certain answers, as means over samples.

    Attributes:
        columns: what each sample adds to each mean, of shape (n, means).
        combined: how the means are combined.
        count: how many samples there are of what is rarest, where the metric is of two kinds of them; None for all.
    """

    columns: NDArray[np.float64]
    combined: Combined
    count: int | None = None


@dataclass(frozen=True)
class Formula:
    """A metric.

    Attributes:
        measure: what it is; its unit is that of the values where it has one.
        says: how it is computed, for people.
        terms: takes answers and targets, both of shape (n, values), float64.
        source: who defined it, or tells how it varies.
    """

    measure: Measure
    says: str
    terms: Callable[[Answers, Targets], Terms]
    source: str = ""

    def replicates(self, answers: Answers, targets: Targets) -> Replicates:
        """The metric on resamples; answers and targets of shape (n, …)."""
        found = self.terms(flat(answers), flat(targets))
        replicates = of_means(found.columns, found.combined)
        return replicates if found.count is None else replace(replicates, count=found.count)

    def metric(self, answers: Answers, targets: Targets, unit: str = "") -> Metric:
        """The metric with its interval; answers and targets of shape (n, …)."""
        return got(self.replicates(answers, targets), in_unit(self.measure, unit))


def flat(array: NDArray[np.generic]) -> NDArray[np.float64]:
    """Shape (n, …) to (n, values)."""
    return array.reshape(len(array), -1).astype(np.float64)


def in_unit(measure: Measure, unit: str) -> Measure:
    """A measure in the unit of the values, where it is in that at all."""
    return measure.model_copy(update={"unit": unit}) if measure.name in _IN_UNIT else measure


def _mae(answers: Answers, targets: Targets) -> Terms:
    return Terms(np.abs(answers - targets).mean(axis=1, keepdims=True), lambda means: means[:, 0])


def _rmse(answers: Answers, targets: Targets) -> Terms:
    return Terms(np.square(answers - targets).mean(axis=1, keepdims=True), lambda means: np.sqrt(means[:, 0]))


def _r2(answers: Answers, targets: Targets) -> Terms:
    residual = np.square(answers - targets).sum(axis=1)
    total = np.square(targets - targets.mean(axis=0)).sum(axis=1)
    return Terms(np.stack([residual, total], axis=1), lambda means: 1 - means[:, 0] / means[:, 1])


def _areas(answers: Answers, targets: Targets) -> Terms:
    """The area under the curve, averaged over the columns; 0 and 1 are what targets hold."""
    positive = targets > 0.5
    found = joined([_placements(*each) for each in zip(answers.T, positive.T, strict=True)], _area)
    rarer = np.minimum(positive.sum(axis=0), (~positive).sum(axis=0))
    return replace(found, count=int(rarer[rarer > 0].mean()) if rarer.any() else None)


def _area(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Columns of `_placements`; each mean is one over the positives, or the negatives, alone."""
    above, positives, below, negatives, whole = means.T
    found: NDArray[np.float64] = above / positives + below / negatives - whole
    return found


def _placements(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> NDArray[np.float64]:
    """What each sample adds to the area under the curve: DeLong's structural components, from sorting once.

    Args:
        scores: of shape (n,).
        positive: of shape (n,).

    Returns:
        Shape (n, 5): of each positive the share of negatives that it is above, ties by half, and 1; of each negative
        the share of positives that it is below, and 1; the area. All of it is nan where one side is empty.
    """
    from scipy.stats import rankdata

    count, most = int(positive.sum()), len(positive)
    found = np.zeros((most, 5))
    if count in (0, most):
        return np.full((most, 5), np.nan)
    ranks = rankdata(scores)
    found[positive, 0] = (ranks[positive] - rankdata(scores[positive])) / (most - count)
    found[:, 1] = positive
    found[~positive, 2] = 1 - (ranks[~positive] - rankdata(scores[~positive])) / count
    found[:, 3] = ~positive
    found[:, 4] = found[positive, 0].mean()
    return found


def f1_at(threshold: float) -> Callable[[Answers, Targets], Terms]:
    """The terms of F1, averaged over the columns, with predictions where scores are above a threshold."""

    def terms(answers: Answers, targets: Targets) -> Terms:
        predicted, true = answers > threshold, targets > 0.5
        columns = np.stack([predicted & true, predicted.astype(int) + true], axis=2, dtype=np.float64, casting="unsafe")
        return joined(list(columns.swapaxes(0, 1)), lambda means: 2 * means[:, 0] / means[:, 1])

    return terms


def exact_at(threshold: float) -> Callable[[Answers, Targets], Terms]:
    """The terms of the share of samples of which all labels are right, with predictions above a threshold."""

    def terms(answers: Answers, targets: Targets) -> Terms:
        right = ((answers > threshold) == (targets > 0.5)).all(axis=1, keepdims=True)
        return Terms(right.astype(np.float64), lambda means: means[:, 0])

    return terms


def joined(parts: list[NDArray[np.float64]], combined: Combined) -> Terms:
    """The mean of a metric over labels, each with terms of shape (n, means); labels without a value are left out."""
    each = parts[0].shape[1]

    def mean(means: NDArray[np.float64]) -> NDArray[np.float64]:
        found = np.stack([combined(means[:, place : place + each]) for place in range(0, means.shape[1], each)])
        known = np.isfinite(found)
        values: NDArray[np.float64] = np.where(known, found, 0).sum(axis=0) / known.sum(axis=0)
        return values

    return Terms(np.concatenate(parts, axis=1), mean)


_IN_UNIT = frozenset({"mae", "rmse"})
_DELONG = "E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson, Biometrics 44 (1988), 837-845"
ERRORS: Mapping[str, Formula] = {
    "mae": Formula(Measure(name="mae", unit="", higher_is_better=False), "mean of |answer - target|", _mae),
    "rmse": Formula(
        Measure(name="rmse", unit="", higher_is_better=False), "square root of the mean of (answer - target)²", _rmse
    ),
    "r2": Formula(
        Measure(name="r2", unit=""), "1 - Σ (answer - target)² / Σ (target - mean of targets)², over all values", _r2
    ),
}
AUC = Formula(
    Measure(name="auc", unit=""),
    "share of pairs of a positive and a negative in which the positive has the higher score, ties by half",
    _areas,
    _DELONG,
)
MACRO_AUC = Formula(
    Measure(name="macro_auc", unit=""), "the AUC of each label that occurs, averaged over labels", _areas, _DELONG
)
