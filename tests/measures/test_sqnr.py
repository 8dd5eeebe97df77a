from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bitpick.measures.sqnr import Noise, weights

VALUES = st.floats(-100, 100, width=32)


def test_decibels_by_hand():
    noise = Noise()
    noise.add(np.array([[3.0, 4.0]], np.float32), np.array([[3.0, 3.5]], np.float32))  # 25 over 0.25
    assert noise.decibels == pytest.approx(20)


@given(arrays.arrays(np.float32, (6, 3), elements=VALUES), arrays.arrays(np.float32, (6, 3), elements=VALUES))
def test_batches_add_up_to_the_whole(reference, found):
    whole, parts = Noise(), Noise()
    whole.add(reference, found)
    for place in range(0, 6, 2):
        parts.add(reference[place : place + 2], found[place : place + 2])
    if whole.decibels is None:
        assert parts.decibels is None
    else:
        assert parts.decibels == pytest.approx(whole.decibels)
        difference = reference.astype(np.float64) - found
        expected = 10 * math.log10((reference.astype(np.float64) ** 2).sum() / (difference**2).sum())
        assert whole.decibels == pytest.approx(expected)
    assert parts.largest == whole.largest == np.abs(reference).max()


def test_where_there_is_no_noise_or_no_signal_there_is_no_number():
    same, nothing = Noise(), Noise()
    same.add(np.ones(3, np.float32), np.ones(3, np.float32))
    nothing.add(np.zeros(3, np.float32), np.ones(3, np.float32))
    assert same.decibels is nothing.decibels is None
    assert Noise().outlier_ratio is nothing.outlier_ratio is None
    assert weights(np.ones((2, 2), np.float32), np.ones((2, 2), np.float32)) is None
    assert weights(np.zeros((2, 2), np.float32), np.ones((2, 2), np.float32)) is None


def test_few_values_far_out_are_seen():
    values = np.random.default_rng(0).uniform(-1, 1, 100_000).astype(np.float32)
    calm, wild = Noise(), Noise()
    calm.add(values, values)
    values[7] = 50
    wild.add(values, values)
    assert calm.outlier_ratio == pytest.approx(1, abs=0.01)
    assert wild.outlier_ratio == pytest.approx(50, rel=0.02)


def test_a_large_channel_does_not_hide_that_nothing_is_left_of_the_others():
    weight = np.random.default_rng(0).normal(size=(16, 3, 3, 3)).astype(np.float32)
    weight[5] *= 1000
    scale = np.abs(weight).max() / 127
    stored = np.round(weight / scale) * scale
    whole = Noise()
    whole.add(weight, stored)
    assert whole.decibels > 35
    assert weights(weight, stored) < 1
    scales = np.abs(weight).max(axis=(1, 2, 3), keepdims=True) / 127
    assert weights(weight, np.round(weight / scales) * scales) > 35


@given(arrays.arrays(np.float32, (3, 5), elements=st.floats(0.5, 100, width=32)), st.floats(0.001, 1000))
def test_weights_do_not_depend_on_the_size_of_a_channel(weight, factor):
    found = weight + np.float32(0.25)
    larger, more = weight.copy(), found.copy()
    larger[1] *= np.float32(factor)
    more[1] *= np.float32(factor)
    assert weights(larger, more) == pytest.approx(weights(weight, found), rel=1e-2, abs=1e-2)
