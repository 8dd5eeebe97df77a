from __future__ import annotations

import numpy as np
import pytest

from bitpick.statistics import of_means, of_places


def of_mean(values, **options):
    return of_means(values[:, None], lambda means: means[:, 0], **options)


def test_means_are_those_of_samples_drawn_with_replacement():
    values = np.random.default_rng(0).normal(2, 3, 500)
    found = of_mean(values)
    assert found.value == pytest.approx(values.mean())
    assert found.drawn.std() == pytest.approx(values.std() / np.sqrt(500), rel=0.05)
    assert found.drawn.mean() == pytest.approx(values.mean(), abs=0.02)
    assert found.left.shape == (200,)
    assert found.left[0] == pytest.approx(np.delete(values, [0, 200, 400]).mean())


def test_a_matrix_product_and_one_call_for_each_resample_say_the_same():
    values = np.random.default_rng(0).exponential(size=300)
    one = of_mean(values)
    other = of_places(lambda places: float(values[places].mean()), 300)
    assert one.interval() == pytest.approx(other.interval(), abs=0.1 * np.diff(one.interval())[0])
    np.testing.assert_allclose(one.left, other.left)


def test_many_samples_are_drawn_in_groups_that_vary_as_they_do():
    values = np.random.default_rng(0).exponential(size=25_001)
    # In the order of their size: groups of neighbours would vary as much as the samples.
    found = of_mean(np.sort(values))
    assert found.drawn.std() == pytest.approx(values.std() / np.sqrt(len(values)), rel=0.06)
    assert found.value == pytest.approx(values.mean())


def test_resamples_are_the_same_for_as_many_samples():
    values = np.random.default_rng(0).normal(size=100)
    np.testing.assert_array_equal(of_mean(values).drawn, of_mean(values).drawn)
    np.testing.assert_allclose(of_mean(3 * values + 1).drawn, 3 * of_mean(values).drawn + 1)


def test_a_statistic_without_a_value_is_undefined_there():
    rare = np.zeros(400)
    rare[:3] = 1
    found = of_means(np.stack([rare, rare], axis=1), lambda means: means[:, 0] / means[:, 1])
    assert found.value == 1
    assert 0.02 * 2000 < found.undefined < 0.08 * 2000


def test_one_sample():
    assert of_mean(np.ones(1)).interval() == (1, 1)
