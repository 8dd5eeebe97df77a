from __future__ import annotations

import numpy as np
import pytest

from bitpick.engines.onnxruntime import entropy

RNG = np.random.default_rng(0)
# Numbers as activations have them: around zero, after a ReLU, with outliers, of few values, and none but zeros.
NUMBERS = {
    "normal": RNG.normal(size=5000),
    "relu": np.maximum(RNG.normal(size=5000), 0),
    "outliers": np.concatenate([RNG.normal(size=5000), [40, -3, 55]]),
    "few": RNG.integers(-3, 4, 1000) / 2,
    "skewed": RNG.exponential(size=5000) - 0.1,
    "zeros": np.zeros(100),
}


@pytest.mark.parametrize("bins", [256, 301])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NUMBERS)
def test_thresholds_are_exactly_those_of_the_library(name, dtype, bins):
    from onnxruntime.quantization.calibrate import HistogramCollector

    numbers = NUMBERS[name].astype(dtype)
    limit = max(np.abs(numbers).max(), dtype(1e-3))
    counts, edges = np.histogram(numbers, bins=bins, range=(-limit, limit))
    histogram = counts, edges.astype(dtype), numbers.min(), numbers.max(), limit
    collector = HistogramCollector("entropy", False, bins, 64, None, "same")
    found, expected = entropy.threshold(histogram, 64), collector.get_entropy_threshold(histogram, 64)
    assert found == expected
    assert [each.dtype for each in found] == [each.dtype for each in expected]


def test_numbers_that_are_rare_and_far_away_are_clipped():
    numbers = np.concatenate([RNG.normal(size=100_000), [100.0]]).astype(np.float32)
    counts, edges = np.histogram(numbers, bins=2048, range=(-100, 100))
    low, high = entropy.threshold((counts, edges.astype(np.float32), numbers.min(), numbers.max(), 100), 256)
    assert 4 < high < 100
    assert low == pytest.approx(numbers.min())
