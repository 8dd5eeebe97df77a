from __future__ import annotations

import numpy as np
import pytest

from bitpick.engines.onnxruntime.entropy import least_divergent


def ends(values, bins=2048):
    most = np.abs(values).max()
    counts, edges = np.histogram(values, bins, range=(-most, most))
    return least_divergent(counts, edges.astype(np.float32), float(values.min()), float(values.max()))


@pytest.fixture
def normal():
    return np.random.default_rng(0).normal(size=200_000).astype(np.float32)


def test_an_outlier_is_clipped(normal):
    low, high = ends(np.append(normal, np.float32(40)))
    assert low == pytest.approx(normal.min(), rel=1e-3)
    assert high < 12


def test_the_zeros_of_a_relu_decide_nothing(normal):
    _, without = ends(np.abs(normal))
    low, high = ends(np.concatenate([np.abs(normal), np.zeros(3_000_000, np.float32)]))
    assert low == 0
    assert high == pytest.approx(without, rel=0.05)


@pytest.mark.parametrize("bins", [1024, 4096, 8192])
def test_the_range_hardly_depends_on_the_number_of_bins(normal, bins):
    values = np.maximum(normal, 0)
    assert ends(values, bins)[1] == pytest.approx(ends(values)[1], rel=0.25)


def test_values_that_the_levels_hit_are_not_clipped():
    values = np.random.default_rng(0).integers(0, 40, 100_000).astype(np.float32)
    assert ends(np.append(values, np.float32(255))) == (0, 255)


def test_a_tensor_that_is_always_zero_has_a_range():
    counts, edges = np.histogram(np.zeros(50, np.float32), 2048, range=(0, 0))
    assert least_divergent(counts, edges.astype(np.float32), 0.0, 0.0) == (0, 0)
