"""Intervals and tests of proportions, and of two proportions on the same samples."""

from __future__ import annotations

import math

from bitpick.statistics.distributions import beta_quantile, binomial_cdf

Z_95 = 1.959964  # two-sided 95%


def wilson_interval(successes: int, total: int, z: float = Z_95) -> tuple[float, float]:
    """Return Wilson's score interval of a proportion (E. B. Wilson, JASA 22 (1927), 209-212).

    Args:
        successes: number of successes.
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


def at_most(successes: int, total: int, level: float = 0.95) -> float:
    """Return the exact one-sided upper bound of a proportion (Clopper and Pearson, Biometrika 26 (1934), 404-413).

    Args:
        successes: number of successes.
        total: number of trials, at least 1.
        level: confidence level.
    """
    return 1.0 if successes == total else beta_quantile(level, successes + 1, total - successes)


def mcnemar_midp(only_first: int, only_second: int) -> float:
    """Test two classifiers on the same samples by McNemar's two-sided mid-p test.

    This is the exact conditional p-value minus the point probability of the observed counts (Fagerland, Lydersen and
    Laake, BMC Medical Research Methodology 13 (2013), 91).

    Args:
        only_first: samples that only the first classifier gets right.
        only_second: samples that only the second gets right.

    Returns:
        The p-value of "both are right equally often".
    """
    n, k = only_first + only_second, min(only_first, only_second)
    if only_first == only_second:
        return 1 - (binomial_cdf(k, n, 0.5) - binomial_cdf(k - 1, n, 0.5)) / 2 if n else 1.0
    return binomial_cdf(k, n, 0.5) + binomial_cdf(k - 1, n, 0.5)


def tango_score(only_first: int, only_second: int, total: int, difference: float) -> float:
    """Return Tango's score of the difference of two paired proportions (Statistics in Medicine 17 (1998), 891-908).

    Args:
        only_first: samples that only the first classifier gets right.
        only_second: samples that only the second gets right.
        total: number of samples.
        difference: the hypothesis: the first one's accuracy minus the second one's, between -1 and 1.

    Returns:
        A number that is standard normal if the hypothesis is true, and negative if the observed difference is smaller.
        Its variance is the constrained maximum likelihood estimate.
    """
    if difference < 0:  # exchange the classifiers: the root below is stable for the same hypothesis stated that way
        return -tango_score(only_second, only_first, total, -difference)
    a = 2 * total
    b = -only_first - only_second + (2 * total - only_first + only_second) * difference
    c = -only_second * difference * (1 - difference)
    only_second_share = max(0.0, (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a))
    variance = total * (2 * only_second_share + difference * (1 - difference))
    observed = only_first - only_second - total * difference
    if variance <= 0:
        return 0.0 if observed == 0 else math.copysign(math.inf, observed)
    return observed / math.sqrt(variance)


def tango_interval(only_first: int, only_second: int, total: int, z: float = Z_95) -> tuple[float, float]:
    """Return the interval of differences that Tango's score test does not reject.

    Args:
        only_first: samples that only the first classifier gets right.
        only_second: samples that only the second gets right.
        total: number of samples, at least 1.
        z: standard normal quantile; the default gives 95%.

    Returns:
        Lower and upper bound of the first one's accuracy minus the second one's.
    """
    from scipy.optimize import brentq

    observed = (only_first - only_second) / total

    def bound(end: float, level: float) -> float:
        def excess(difference: float) -> float:
            return tango_score(only_first, only_second, total, difference) - level

        # The score is monotonic between the observed difference and either end of the possible range.
        inside = 1 - 1e-12
        start, near = min(max(observed, -inside), inside), end * inside
        return float(brentq(excess, start, near, xtol=1e-12)) if excess(start) * excess(near) < 0 else end

    return bound(-1.0, z), bound(1.0, -z)


def noninferiority_score(only_first: int, only_second: int, total: int, margin: float) -> float:
    """Return the evidence that a drop is under a margin: Tango's score of "the drop is the margin", negated.

    Args:
        only_first: samples that only the reference gets right.
        only_second: samples that only the other classifier gets right.
        total: number of samples.
        margin: the largest acceptable drop, above 0.

    Returns:
        A number that is at most standard normal if the drop is the margin or more; a large one is evidence against it.
    """
    return -tango_score(only_first, only_second, total, margin)


def samples_to_show(score: float, total: int, z: float) -> int | None:
    """Estimate how many samples would be enough evidence, if the shares stay as they are.

    Args:
        score: the evidence so far, by `noninferiority_score`; at the same shares it grows with the root of `total`.
        total: number of samples so far.
        z: the standard normal quantile that the score must reach.

    Returns:
        The number of samples; None if no number is enough, because the score is not above 0.
    """
    return math.ceil(total * (z / score) ** 2) if score > 0 else None
