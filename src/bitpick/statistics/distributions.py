"""The few distributions that intervals and tests need.

From `scipy.special`: `scipy.stats` has all of them, and takes most of a second to import, which every command would
wait for.
"""

from __future__ import annotations

import math


def normal_cdf(z: float) -> float:
    """The probability that a standard normal number is at most z."""
    from scipy.special import ndtr

    return float(ndtr(z))


def normal_quantile(p: float) -> float:
    """The number that a standard normal one is at most with probability p."""
    from scipy.special import ndtri

    return float(ndtri(p))


def student_cdf(t: float, freedom: float) -> float:
    """The probability that a number of Student's t distribution is at most t."""
    from scipy.special import stdtr

    return float(stdtr(freedom, t))


def student_quantile(p: float, freedom: float) -> float:
    """The number that one of Student's t distribution is at most with probability p."""
    from scipy.special import stdtrit

    return math.copysign(math.inf, p - 0.5) if p in (0, 1) else float(stdtrit(freedom, p))


def binomial_cdf(successes: int, total: int, p: float) -> float:
    """The probability of at most so many successes, from -1 to `total`."""
    from scipy.special import bdtr

    return 0.0 if successes < 0 else float(bdtr(successes, total, p))


def binomial_at_least(successes: int, total: int, p: float) -> float:
    """The probability of so many successes or more."""
    from scipy.special import bdtrc

    return 1.0 if successes <= 0 else float(bdtrc(successes - 1, total, p))


def beta_quantile(p: float, a: float, b: float) -> float:
    """The number that one of the beta distribution with shapes a and b is at most with probability p."""
    from scipy.special import betaincinv

    return float(betaincinv(a, b, p))
