from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bitpick.preprocessing import Preprocessing

images = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=4, max_side=5))


@given(images)
def test_by_default_raw_values_become_float32(batch):
    prepared = Preprocessing()(batch)
    assert prepared.dtype == np.float32
    assert np.array_equal(prepared, batch)


@given(images, st.floats(-300, 300), st.floats(0.5, 300))
def test_offset_and_scale(batch, offset, scale):
    prepared = Preprocessing(offset=offset, scale=scale)(batch)
    expected = (batch.astype(np.float64) - np.float32(offset)) / np.float32(scale)
    np.testing.assert_allclose(prepared, expected, rtol=1e-5, atol=1e-4)


def test_the_samples_are_left_alone():
    batch = np.ones((1, 2), np.float32)
    Preprocessing(offset=1.0)(batch)
    assert (batch == 1).all()


def test_words():
    assert Preprocessing().words == "raw values as float32"
    assert Preprocessing(scale=255).words == "(value - 0) / 255 as float32"
