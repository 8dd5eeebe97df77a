from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy import stats

from bitpick.errors import DataError
from bitpick.statistics import Replicates, of_means


def of_mean(values):
    return of_means(values[:, None], lambda means: means[:, 0])


def test_the_interval_of_a_mean_is_nearly_students():
    values = np.random.default_rng(0).normal(3, 2, 30)
    expected = stats.t.interval(0.95, 29, values.mean(), stats.sem(values))
    np.testing.assert_allclose(of_mean(values).interval(), expected, atol=0.05 * (expected[1] - expected[0]))


def test_a_skewed_mean_has_a_skewed_interval():
    found = of_mean(np.random.default_rng(0).exponential(size=60))
    low, high = found.interval()
    assert high - found.value > 1.1 * (found.value - low)


@pytest.mark.parametrize("margin", [-0.4, -0.1, 0.0, 0.2, 0.5])
def test_the_score_of_a_mean_is_nearly_its_distance_in_standard_errors(margin):
    values = np.random.default_rng(1).normal(0, 1, 400)
    found = of_mean(values)
    distance = (margin - values.mean()) / stats.sem(values)
    assert found.score(margin) == pytest.approx(distance, abs=0.15 + 0.1 * abs(distance))
    if abs(distance) < 3:
        assert found.p_under(margin) == pytest.approx(stats.norm.sf(found.score(margin)), abs=0.002)


def test_the_score_goes_on_where_the_resamples_end():
    found = of_mean(np.random.default_rng(1).normal(0, 1, 400))
    scores = [found.score(margin) for margin in np.linspace(-2, 2, 41)]
    assert scores == sorted(scores)
    assert scores[0] < -20
    assert scores[-1] > 20


def test_what_never_varies_is_sure_and_can_be_written_as_json():
    found = of_mean(np.zeros(50))
    assert found.interval() == (0, 0)
    assert (found.score(0.1), found.score(-0.1)) == (38, -38)
    assert math.isfinite(json.loads(json.dumps(found.score(0.1))))
    assert found.p_zero() == 1


def test_the_two_sided_test_is_that_of_student():
    for seed in range(5):
        values = np.random.default_rng(seed).normal(0.1, 1, 300)
        assert of_mean(values).p_zero() == pytest.approx(stats.ttest_1samp(values, 0).pvalue, abs=0.05)
        assert of_mean(values).p_zero() == pytest.approx(of_mean(-values).p_zero(), abs=0.02)


def test_differences_of_the_same_samples():
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 10, 200)
    difference = of_mean(shared + rng.normal(1, 0.1, 200)) - of_mean(shared)
    low, high = difference.interval()
    assert 0.97 < low < 1 < high < 1.03
    assert (-difference).interval() == pytest.approx((-high, -low), rel=0.01)


def test_too_many_undefined_resamples_are_refused():
    drawn = np.array([np.nan] * 6 + [1.0] * 94)
    with pytest.raises(DataError, match="undefined on 6 of 100"):
        Replicates(1.0, drawn, np.ones(3), 10).checked()
    with pytest.raises(DataError, match="nan on the 10 samples"):
        Replicates(math.nan, drawn, np.ones(3), 10).checked()
