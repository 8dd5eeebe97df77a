from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from bitpick.statistics import mcnemar_midp, wilson_interval


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
