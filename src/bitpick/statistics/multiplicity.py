"""Many tests at once: p-values that hold for all of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values (Scandinavian Journal of Statistics 6 (1979), 65-70), under any dependence."""
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
    """Step-down adjusted p-values of correlated one-sided tests (Romano and Wolf, Econometrica 73 (2005), 1237-1282).

    Each score is compared with the largest of the scores not yet rejected, as normal numbers with their correlation
    would have it. Where tests are alike, this asks for less than Holm.

    Args:
        scores: the test statistics of shape (k,), each standard normal at most where its hypothesis is true.
        correlation: of the statistics, of shape (k, k).
        draws: normal vectors to draw; the p-values are exact to about 1/√draws.
        seed: of these draws.

    Returns:
        The adjusted p-values, at least 1/(draws + 1).
    """
    values = np.asarray(scores, dtype=np.float64)
    order = np.argsort(-values)
    # Draws through the square root of the correlation, whose eigenvalues rounding can make slightly negative.
    eigenvalues, vectors = np.linalg.eigh(correlation)
    root = vectors * np.sqrt(np.clip(eigenvalues, 0, None))
    normal = np.random.default_rng(seed).standard_normal((draws, len(values))) @ root.T
    # The largest of this hypothesis and those after it.
    largest = np.maximum.accumulate(normal[:, order][:, ::-1], axis=1)[:, ::-1]
    counts = (largest >= values[order]).sum(axis=0)
    adjusted = np.empty(len(values))
    adjusted[order] = np.maximum.accumulate((counts + 1) / (draws + 1))
    return [float(p) for p in adjusted]
