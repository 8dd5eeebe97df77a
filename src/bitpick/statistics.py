"""Paired tests and intervals: numbers in, numbers out."""

from __future__ import annotations

import math


def wilson_interval(successes: int, total: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's score interval of a proportion (E. B. Wilson, JASA 22 (1927), 209-212).

    Args:
        successes: how many of `total`.
        total: number of trials, at least 1.
        z: standard normal quantile; the default gives 95%.

    Returns:
        Lower and upper bound, fractions from 0 to 1.
    """
    p = successes / total
    denominator = 1 + z * z / total
    centre = (p + z * z / (2 * total)) / denominator
    half = z / denominator * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    return max(0.0, centre - half), min(1.0, centre + half)


def mcnemar_midp(only_first: int, only_second: int) -> float:
    """Two-sided McNemar mid-p test of two classifiers on the same samples.

    The exact conditional p-value less the point probability of what was observed (Fagerland, Lydersen and Laake,
    BMC Medical Research Methodology 13 (2013), 91).

    Args:
        only_first: samples that only the first classifier gets right.
        only_second: samples that only the second gets right.

    Returns:
        The p-value of "both are right equally often".
    """
    from scipy.stats import binom

    n, k = only_first + only_second, min(only_first, only_second)
    if only_first == only_second:
        return float(1 - 0.5 * binom.pmf(k, n, 0.5)) if n else 1.0
    return float(2 * binom.cdf(k, n, 0.5) - binom.pmf(k, n, 0.5))
