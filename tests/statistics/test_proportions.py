from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import binomtest, norm

from bitpick.statistics import (
    at_most,
    mcnemar_midp,
    noninferiority_score,
    samples_to_show,
    tango_interval,
    tango_score,
    wilson_interval,
)
from tests.statistics.simulations import ALLOWED, ALPHA, SIMULATIONS


@given(st.integers(1, 20_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_scipys(counts):
    successes, total = counts
    expected = binomtest(successes, total).proportion_ci(method="wilson")
    np.testing.assert_allclose(wilson_interval(successes, total), expected, atol=1e-7)


@pytest.mark.parametrize(
    ("b", "c", "p"),
    # Fagerland, Lydersen and Laake (2013), table 1 and 2: airway hyper-responsiveness (1, 7), and its mid-p of 0.0391.
    [(1, 7, 0.0391), (7, 1, 0.0391)],
)
def test_mcnemar_midp_of_a_published_example(b, c, p):
    assert mcnemar_midp(b, c) == pytest.approx(p, abs=5e-5)


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_midp_by_its_definition(b, c):
    n, k = b + c, min(b, c)
    point = math.comb(n, k) / 2**n
    exact = min(1.0, 2 * sum(math.comb(n, i) for i in range(k + 1)) / 2**n)
    expected = exact - (0.5 * point if b == c and n else 0.0 if b == c else point)
    assert mcnemar_midp(b, c) == pytest.approx(expected, abs=1e-9)


def test_tangos_interval_of_a_published_example():
    """Airway hyper-responsiveness, 1 and 7 discordant of 21 (Fagerland, Lydersen and Laake, 2014): -0.517 to -0.026."""
    assert tango_interval(1, 7, 21) == pytest.approx((-0.517, -0.026), abs=5e-4)


def counts(largest=400):
    total = st.integers(1, largest)
    return total.flatmap(
        lambda n: st.integers(0, n).flatmap(lambda b: st.tuples(st.just(b), st.integers(0, n - b), st.just(n)))
    )


@given(counts())
def test_tangos_interval_holds_what_was_observed_and_turns_with_the_sides(table):
    b, c, n = table
    low, high = tango_interval(b, c, n)
    assert -1 <= low <= (b - c) / n <= high <= 1
    assert tango_interval(c, b, n) == pytest.approx((-high, -low), abs=1e-9)


@given(counts(), st.floats(-0.9, 0.9))
def test_tangos_interval_is_what_his_test_does_not_refute(table, difference):
    low, high = tango_interval(*table)
    if min(abs(difference - low), abs(difference - high)) > 1e-6:
        assert (low < difference < high) == (abs(tango_score(*table, difference)) < 1.959964)


@given(counts())
def test_tangos_score_of_no_difference_is_mcnemars(table):
    b, c, _ = table
    expected = (b - c) / math.sqrt(b + c) if b + c else 0.0
    assert tango_score(*table, 0.0) == pytest.approx(expected, abs=1e-6)


@given(counts(), st.floats(-0.9, 0.9))
def test_tangos_variance_is_that_of_the_constrained_maximum_likelihood(table, difference):
    """By a search over what the hypothesis leaves free: how often only the second is right."""
    b, c, n = table
    assume(b + c >= 5)
    grid = np.linspace(max(0.0, -difference), (1 - difference) / 2, 20_001)[1:-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        likelihood = (
            np.where(b, b * np.log(grid + difference), 0)
            + np.where(c, c * np.log(grid), 0)
            + np.where(n - b - c, (n - b - c) * np.log(1 - 2 * grid - difference), 0)
        )
    best = grid[np.nanargmax(likelihood)]
    variance = n * (2 * best + difference * (1 - difference))
    if variance > 1e-3:
        expected = (b - c - n * difference) / math.sqrt(variance)
        assert tango_score(*table, difference) == pytest.approx(expected, rel=0.02, abs=0.02)


@given(st.integers(0, 300), st.integers(0, 300), st.integers(600, 5000))
def test_as_many_samples_as_it_says_would_show_it(b, c, n):
    score = noninferiority_score(b, c, n, 0.02)
    needed = samples_to_show(score, n, 1.645)
    if needed is None:
        assert (b - c) / n >= 0.02 - 1e-12
        return
    more = 10_000 * needed / n  # the same shares of so many samples, in ten thousandths
    scaled = noninferiority_score(round(b * more), round(c * more), round(n * more), 0.02) / 100
    assert scaled >= 1.64
    assert needed < 100 or scaled == pytest.approx(1.645, abs=0.02)


@pytest.mark.parametrize(("n", "only_build"), [(10_000, 0.013), (1_000, 0.02), (10_000, 0.002)])
def test_a_drop_of_the_margin_is_seldom_called_less(n, only_build):
    """10,000 data sets at the margin: the false claims stay under alpha."""
    margin = 0.0087
    rng = np.random.default_rng(n)
    shares = [only_build + margin, only_build, 1 - 2 * only_build - margin]
    tables = rng.multinomial(n, shares, size=SIMULATIONS)
    claims = [noninferiority_score(int(b), int(c), n, margin) > norm.isf(ALPHA) for b, c, _ in tables]
    assert np.mean(claims) <= ALLOWED


@pytest.mark.parametrize(("n", "only_one"), [(10_000, 0.013), (200, 0.05)])
def test_equal_classifiers_are_seldom_called_different(n, only_one):
    """10,000 data sets without a difference: McNemar's mid-p stays under alpha."""
    tables = np.random.default_rng(n).multinomial(n, [only_one, only_one, 1 - 2 * only_one], size=SIMULATIONS)
    kept = {}
    claims = [kept.setdefault((b, c), mcnemar_midp(int(b), int(c)) < ALPHA) for b, c, _ in tables]
    assert np.mean(claims) <= ALLOWED


@pytest.mark.parametrize(("successes", "total"), [(0, 50), (3, 100), (61, 10_000), (50, 50)])
def test_the_exact_upper_bound_is_where_so_few_would_be_seen_1_time_in_20(successes, total):
    from scipy.stats import binom

    bound = at_most(successes, total)
    assert successes / total <= bound <= 1
    if successes < total:
        assert binom.cdf(successes, total, bound) == pytest.approx(0.05)
