"""p-values adjusted for many tests at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p-values (Scandinavian Journal of Statistics 6 (1979), 65-70), for any dependence."""
    order = np.argsort(p_values)
    adjusted = np.empty(len(p_values))
    worst = 0.0
    for rank, place in enumerate(order):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = worst
    return [float(p) for p in adjusted]


def max_t(
    scores: Sequence[float], correlation: NDArray[np.float64], draws: int = 100_000, seed: int = 0
) -> list[float]:
    """Return step-down p-values of correlated one-sided tests (Romano and Wolf, Econometrica 73 (2005), 1237-1282).

    Each score is compared with the distribution of the largest score not yet rejected, simulated by normal vectors with
    the scores' correlation. If tests are correlated, this is more powerful than Holm.

    Args:
        scores: the test statistics, of shape (k,); each is at most standard normal if its hypothesis is true.
        correlation: of the statistics, of shape (k, k).
        draws: number of normal vectors; the p-values are accurate to about 1/√draws.
        seed: of the normal vectors.

    Returns:
        The adjusted p-values, at least 1/(draws + 1).
    """
    values = np.asarray(scores, dtype=np.float64)
    order = np.argsort(-values)
    # Multiply by the square root of the correlation; rounding can make its eigenvalues slightly negative.
    eigenvalues, vectors = np.linalg.eigh(correlation)
    root = vectors * np.sqrt(np.clip(eigenvalues, 0, None))
    normal = np.random.default_rng(seed).standard_normal((draws, len(values))) @ root.T
    # The maximum over this hypothesis and those after it.
    largest = np.maximum.accumulate(normal[:, order][:, ::-1], axis=1)[:, ::-1]
    counts = (largest >= values[order]).sum(axis=0)
    adjusted = np.empty(len(values))
    adjusted[order] = np.maximum.accumulate((counts + 1) / (draws + 1))
    return [float(p) for p in adjusted]
