"""The distributions that intervals and tests need.

They come from `scipy.special`, because importing `scipy.stats` would slow every command by most of a second.
"""

from __future__ import annotations

import math


def normal_cdf(z: float) -> float:
    """Return the probability that a standard normal variable is at most z."""
    from scipy.special import ndtr

    return float(ndtr(z))


def normal_quantile(p: float) -> float:
    """Return the p-quantile of the standard normal distribution."""
    from scipy.special import ndtri

    return float(ndtri(p))


def student_cdf(t: float, freedom: float) -> float:
    """Return the probability that a variable with Student's t distribution is at most t."""
    from scipy.special import stdtr

    return float(stdtr(freedom, t))


def student_quantile(p: float, freedom: float) -> float:
    """Return the p-quantile of Student's t distribution."""
    from scipy.special import stdtrit

    return math.copysign(math.inf, p - 0.5) if p in (0, 1) else float(stdtrit(freedom, p))


def binomial_cdf(successes: int, total: int, p: float) -> float:
    """Return the probability of at most this many successes, from -1 to `total`."""
    from scipy.special import bdtr

    return 0.0 if successes < 0 else float(bdtr(successes, total, p))


def binomial_at_least(successes: int, total: int, p: float) -> float:
    """Return the probability of at least this many successes."""
    from scipy.special import bdtrc

    return 1.0 if successes <= 0 else float(bdtrc(successes - 1, total, p))


def beta_quantile(p: float, a: float, b: float) -> float:
    """Return the p-quantile of the beta distribution with shapes a and b."""
    from scipy.special import betaincinv

    return float(betaincinv(a, b, p))
