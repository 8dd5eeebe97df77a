from __future__ import annotations

from unittest.mock import patch

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from statsmodels.stats.multitest import multipletests

from bitpick.statistics import holm, max_t, noninferiority_score
from tests.statistics.simulations import ALLOWED, ALPHA, SIMULATIONS


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_statsmodels(p_values):
    with patch("gc.collect"):  # statsmodels calls it each time: most of a second where frameworks are loaded
        expected = multipletests(p_values, method="holm")[1]
    np.testing.assert_allclose(holm(p_values), expected, atol=1e-12)


@given(st.lists(st.floats(-3, 5), min_size=1, max_size=6))
def test_max_t_of_independent_and_of_equal_scores(scores):
    """Independent ones nearly as Holm, which is a bound; of equal ones each is tested as if it were alone."""
    alone = norm.sf(scores)
    independent = max_t(scores, np.eye(len(scores)), draws=20_000)
    assert all(p <= h + 0.02 for p, h in zip(independent, holm(list(alone)), strict=True))
    assert all(p >= q - 0.02 for p, q in zip(independent, alone, strict=True))
    equal = max_t(scores, np.ones((len(scores), len(scores))), draws=20_000)
    np.testing.assert_allclose(equal, alone, atol=0.02)


def test_of_many_rows_at_the_margin_seldom_any_is_called_less():
    """10,000 data sets of three alike rows, all at the margin: a false claim about any of them stays under alpha."""
    n, margin, k = 10_000, 0.0087, 3
    # What the three rows do on a sample that only the baseline gets right, or only a row does: mostly the same.
    patterns = np.array(
        [[1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, -1, -1], [-1, 0, 0], [0, -1, 0], [0, 0, -1], [0, 0, 0]]
    )
    shares = np.array([0.008 + margin / 2, *[0.005 + margin / 2] * 3, 0.008, *[0.005] * 3, 0.0])
    shares[-1] = 1 - shares.sum()
    rng = np.random.default_rng(1)
    claims = {"holm": 0, "max_t": 0}
    for table in rng.multinomial(n, shares, size=SIMULATIONS):
        losses = [(int(table @ (patterns[:, i] == 1)), int(table @ (patterns[:, i] == -1))) for i in range(k)]
        scores = [noninferiority_score(b, c, n, margin) for b, c in losses]
        if max(scores) < 1.5:  # no method claims anything
            continue
        means = table @ patterns / n
        covariance = (patterns.T * table) @ patterns / n - np.outer(means, means)
        deviations = np.sqrt(np.diag(covariance))
        correlation = covariance / np.outer(deviations, deviations)
        claims["max_t"] += min(max_t(scores, correlation, draws=2_000)) <= ALPHA
        claims["holm"] += min(holm(list(norm.sf(scores)))) <= ALPHA
    assert claims["max_t"] / SIMULATIONS <= ALLOWED
    assert claims["holm"] <= claims["max_t"]
