"""The metrics that rows are judged by, in plain NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[Any]


def classes(scores: Numbers, floats: Numbers) -> Numbers:
    """The predicted class of each sample, of scores of shape (n, …).

    Args:
        scores: what a build gives: the best score's class, the number of the class itself, or, of one score, whether
            it is above a threshold.
        floats: what the float model gives, which says whether a single score is a probability.
    """
    if floats[0].size == 1 and floats.max() > 1 and (floats == np.rint(floats)).all():
        return np.rint(scores.reshape(-1)).astype(np.int64)
    if scores[0].size > 1:
        return scores.reshape(len(scores), -1).argmax(axis=1)
    probabilities = floats.min() >= 0 and floats.max() <= 1
    return (scores.reshape(-1) > (0.5 if probabilities else 0.0)).astype(np.int64)


def metric(name: str, found: Numbers, floats: Numbers, labels: Numbers | None, given: Numbers) -> float:
    """A metric of one output.

    Args:
        name: its name.
        found: what a build gives, of shape (n, …).
        floats: what the float model gives, of the same shape.
        labels: of shape (n, …); None where there are none.
        given: the first input.
    """
    if name == "agreement":
        return float((classes(found, floats) == classes(floats, floats)).mean())
    if name == "accuracy":
        assert labels is not None
        known = np.unique(labels)
        numbers = np.searchsorted(known, labels) if set(known) == {-1, 1} else labels
        return float((classes(found, floats) == numbers.reshape(-1)).mean())
    flat = found.reshape(len(found), -1).astype(np.float64)
    if name == "deviation":
        wanted = floats.reshape(len(floats), -1).astype(np.float64)
        return float(np.sqrt(np.square(flat - wanted).mean() / np.square(wanted).mean()))
    target = (given if labels is None else labels).reshape(len(found), -1).astype(np.float64)
    if name in ("mae", "rmse"):
        return float(np.abs(flat - target).mean() if name == "mae" else np.sqrt(np.square(flat - target).mean()))
    if name == "auc":
        return auc(np.square(flat - given.reshape(len(given), -1)).mean(axis=1), target[:, 0])
    if name == "macro_auc":
        return float(np.mean([auc(*each) for each in zip(flat.T, target.T, strict=True)]))
    raise ValueError(name)


def auc(scores: Numbers, positive: Numbers) -> float:
    """The share of pairs of a positive and a negative in which the positive has the higher score, ties by half."""
    high, low = scores[positive > 0.5][:, None], scores[positive <= 0.5][None]
    return float(((high > low) + 0.5 * (high == low)).mean())
