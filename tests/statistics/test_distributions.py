"""The distributions, beside those of `scipy.stats`."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bitpick.statistics import distributions as d

Z = st.floats(-30, 30)
P = st.floats(1e-12, 1 - 1e-12)
FREEDOM = st.integers(1, 10_000)


def near(expected):
    return pytest.approx(float(expected), rel=1e-9, abs=1e-300)


@given(Z, P)
def test_the_normal_one(z, p):
    assert d.normal_cdf(z) == near(stats.norm.cdf(z))
    assert d.normal_quantile(p) == near(stats.norm.ppf(p))


@given(Z, P, FREEDOM)
def test_students(t, p, freedom):
    assert d.student_cdf(t, freedom) == near(stats.t.cdf(t, freedom))
    assert d.student_quantile(p, freedom) == pytest.approx(float(stats.t.ppf(p, freedom)), rel=1e-9, abs=1e-9)


@given(st.integers(1, 20_000), st.floats(0, 1.1), P)
def test_the_binomial_one(total, share, p):
    successes = min(total, int(share * total))
    assert d.binomial_cdf(successes, total, p) == near(stats.binom.cdf(successes, total, p))
    assert d.binomial_at_least(successes, total, p) == near(stats.binom.sf(successes - 1, total, p))


@given(P, st.integers(1, 10_000), st.integers(1, 10_000))
def test_the_beta_one(p, a, b):
    assert d.beta_quantile(p, a, b) == near(stats.beta.ppf(p, a, b))


def test_the_ends():
    assert (d.normal_quantile(0), d.normal_quantile(1)) == (-math.inf, math.inf)
    assert (d.normal_cdf(-math.inf), d.normal_cdf(math.inf)) == (0, 1)
    assert d.student_quantile(0, 5) == -math.inf
    assert d.student_cdf(-math.inf, 5) == 0
    assert (d.binomial_cdf(-1, 5, 0.5), d.binomial_cdf(5, 5, 0.5)) == (0, 1)
    assert (d.binomial_at_least(0, 5, 0.5), d.binomial_at_least(6, 5, 0.5)) == (1, 0)
