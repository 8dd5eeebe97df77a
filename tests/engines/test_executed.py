from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitpick.engines.executed import FLOAT32, Operator, activation_grid, dynamic_grid, weight_grid

S8 = dynamic_grid("s8")


@pytest.mark.parametrize(
    ("weight", "activation", "multiplies"),
    [(S8, FLOAT32, True), (S8, None, False), (None, FLOAT32, False), (None, None, False)],
    ids=["layer", "table", "elementwise", "nothing"],
)
def test_only_what_has_weights_and_multiplies_them_is_a_product(weight, activation, multiplies):
    assert Operator("o", "Any", "float32", weight, activation).multiplies == multiplies


def test_an_operator_is_integer_by_its_arithmetic_and_not_by_how_its_weights_are_kept():
    assert Operator("o", "Conv", "u8", S8, S8).integer
    assert not Operator("o", "Conv", "float32", S8, FLOAT32).integer
    assert not Operator("o", "Conv", "int32").integer  # arithmetic on shapes


def test_one_scale_and_a_scale_for_each_are_the_same_of_one_channel():
    values = np.array([[127, -3]], np.int8)
    assert weight_grid(values, 0, 1, "s8", channels=1).granularity is None
    assert weight_grid(values, 0, 1, "s8", channels=5).granularity == "per_tensor"
    assert weight_grid(values, 0, 1, "s8").granularity == "per_tensor"


@given(bits=st.sampled_from([7, 8]), signed=st.booleans(), channels=st.integers(1, 5), data=st.data())
def test_the_bits_of_a_symmetric_grid_are_those_that_its_largest_weight_takes(bits, signed, channels, data):
    top = 2 ** (bits - 1) - 1
    values = data.draw(st.lists(st.integers(-top, top), min_size=channels, max_size=20).map(np.array))
    values[0] = data.draw(st.sampled_from([-top, top]))  # a symmetric scale makes the largest weight the last place
    middle = 0 if signed else 128
    stored = (values + middle).astype(np.int8 if signed else np.uint8)
    found = weight_grid(stored, np.full(channels, middle), channels, "s8" if signed else "u8")
    assert (found.bits, found.symmetric) == (bits, True)
    assert found.granularity == ("per_channel" if channels > 1 else "per_tensor")


def test_the_bits_of_an_asymmetric_grid_are_those_between_its_ends():
    found = weight_grid(np.array([0, 3, 255], np.uint8), 100, 1, "u8")
    assert (found.bits, found.symmetric) == (8, False)
    assert weight_grid(np.array([0, 3, 127], np.uint8), 50, 1, "u8").bits == 7


def test_the_middle_of_an_unsigned_grid_of_seven_bits_is_64():
    found = weight_grid(np.array([1, 64, 127], np.uint8), 64, 1, "u8")
    assert (found.bits, found.symmetric) == (7, True)
    assert not weight_grid(np.array([0, 64, 200], np.uint8), 64, 1, "u8").symmetric


def test_an_activation_is_symmetric_around_the_middle_of_its_dtype():
    assert activation_grid("u8", 128).symmetric
    assert activation_grid("s8", 0).symmetric
    assert not activation_grid("u8", 0).symmetric
    assert not activation_grid("s8", -128).symmetric
