"""Metrics that are functions of means over samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bitpick.schema.evidence import Measure, Metric
from bitpick.statistics import Combined, Replicates, of_means
from bitpick.tasks.resampled import metric_with_interval
from bitpick.tasks.task import Answers, Targets


@dataclass(frozen=True)
class Terms:
    """A metric of given answers, as a function of means over samples.

    Attributes:
        columns: the contribution of each sample to each mean, of shape (n, means).
        combined: computes the metric from the means.
        count: number of samples of the rarer kind, if the metric compares two kinds; None for all.
    """

    columns: NDArray[np.float64]
    combined: Combined
    count: int | None = None


@dataclass(frozen=True)
class Formula:
    """A metric.

    Attributes:
        measure: its name, unit and direction.
        definition: how it is computed, for readers.
        terms: computes the terms from answers and targets, both of shape (n, values), float64.
        source: reference of the definition, or of its variance.
    """

    measure: Measure
    definition: str
    terms: Callable[[Answers, Targets], Terms]
    source: str = ""

    def replicates(self, answers: Answers, targets: Targets) -> Replicates:
        """Compute the metric on resamples; answers and targets have shape (n, …)."""
        terms = self.terms(flat(answers), flat(targets))
        replicates = of_means(terms.columns, terms.combined)
        return replicates if terms.count is None else replace(replicates, count=terms.count)

    def metric(self, answers: Answers, targets: Targets, unit: str = "") -> Metric:
        """Compute the metric with its interval; answers and targets have shape (n, …)."""
        return metric_with_interval(self.replicates(answers, targets), in_unit(self.measure, unit))


def flat(array: NDArray[np.generic]) -> NDArray[np.float64]:
    """Flatten each sample: shape (n, …) to (n, values), float64."""
    return array.reshape(len(array), -1).astype(np.float64)


def in_unit(measure: Measure, unit: str) -> Measure:
    """Return a measure in the unit of the values, if it has that unit."""
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
    """Return the terms of the area under the ROC curve, averaged over the columns; targets are 0 and 1."""
    positive = targets > 0.5
    terms = joined([_placements(*each) for each in zip(answers.T, positive.T, strict=True)], _area)
    rarer = np.minimum(positive.sum(axis=0), (~positive).sum(axis=0))
    return replace(terms, count=int(rarer[rarer > 0].mean()) if rarer.any() else None)


def _area(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the area from means of the columns of `_placements`."""
    above, positives, below, negatives, mean_area = means.T
    area: NDArray[np.float64] = above / positives + below / negatives - mean_area
    return area


def _placements(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Compute each sample's contribution to the area under the curve: DeLong's components, from one sort.

    Args:
        scores: of shape (n,).
        positive: of shape (n,).

    Returns:
        Shape (n, 5): for each positive the share of negatives below it, with ties counted half, and 1; for each
        negative the share of positives above it, and 1; the area. All nan if there are no positives or no negatives.
    """
    from scipy.stats import rankdata

    count, total = int(positive.sum()), len(positive)
    columns = np.zeros((total, 5))
    if count in (0, total):
        return np.full((total, 5), np.nan)
    ranks = rankdata(scores)
    columns[positive, 0] = (ranks[positive] - rankdata(scores[positive])) / (total - count)
    columns[:, 1] = positive
    columns[~positive, 2] = 1 - (ranks[~positive] - rankdata(scores[~positive])) / count
    columns[:, 3] = ~positive
    columns[:, 4] = columns[positive, 0].mean()
    return columns


def f1_at(threshold: float) -> Callable[[Answers, Targets], Terms]:
    """Return the terms of F1, averaged over the columns; scores above the threshold are predictions."""

    def terms(answers: Answers, targets: Targets) -> Terms:
        predicted, positive = answers > threshold, targets > 0.5
        columns = np.stack(
            [predicted & positive, predicted.astype(int) + positive], axis=2, dtype=np.float64, casting="unsafe"
        )
        return joined(list(columns.swapaxes(0, 1)), lambda means: 2 * means[:, 0] / means[:, 1])

    return terms


def exact_at(threshold: float) -> Callable[[Answers, Targets], Terms]:
    """Return the terms of the share of samples with all labels right; scores above the threshold are predictions."""

    def terms(answers: Answers, targets: Targets) -> Terms:
        right = ((answers > threshold) == (targets > 0.5)).all(axis=1, keepdims=True)
        return Terms(right.astype(np.float64), lambda means: means[:, 0])

    return terms


def joined(parts: list[NDArray[np.float64]], combined: Combined) -> Terms:
    """Average a metric over labels, each with terms of shape (n, means); labels without a value are left out."""
    width = parts[0].shape[1]

    def mean(means: NDArray[np.float64]) -> NDArray[np.float64]:
        values_of_labels = np.stack(
            [combined(means[:, place : place + width]) for place in range(0, means.shape[1], width)]
        )
        defined = np.isfinite(values_of_labels)
        averages: NDArray[np.float64] = np.where(defined, values_of_labels, 0).sum(axis=0) / defined.sum(axis=0)
        return averages

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
