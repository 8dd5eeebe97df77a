from __future__ import annotations

import numpy as np
import pytest

from bitpick.datasets.load import load
from bitpick.errors import DataError
from tests.datasets.conftest import takes

pytestmark = pytest.mark.usefixtures("own_cache")
RNG = np.random.default_rng(0)
X = RNG.uniform(0, 1, (50, 4)).astype(np.float32)
Y = np.arange(50) % 3


def notes(calibration, evaluation, **said) -> tuple[str, ...]:
    return load({"calibration": (calibration, Y), "evaluation": (evaluation, Y)}, takes(4), said).notes


def test_nothing_to_say():
    assert notes(X, RNG.uniform(0, 1, (50, 4))) == ()


def test_values_outside_what_is_calibrated():
    beyond = X.copy()
    beyond[:10] = 1.5
    (note,) = notes(X, beyond)
    assert note.startswith(
        "20.0% of the values of input in the evaluation set are outside what the calibration set has"
    )
    assert notes(beyond, X) == ()


def test_a_constant_input_is_asked_about():
    (note,) = notes(np.zeros((50, 4)), np.zeros((50, 4)))
    assert note == "every value of input in the calibration set is 0: is that what the model is given?"


@pytest.mark.parametrize("turned", [False, True])
def test_two_scales(turned):
    both = [X, np.round(X * 255)]
    with pytest.raises(DataError, match=r"up to (1|0\.99\d+) in the") as error:
        notes(*(both[::-1] if turned else both))
    assert error.value.expected == "both on one scale"


def test_a_scale_that_was_there_already():
    with pytest.raises(DataError, match="go from 0 to 1 already"):
        notes(X, X, scale=255)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_none(value):
    broken = X.copy()
    broken[33, 2] = value
    for both in ((broken, X), (X, broken)):
        with pytest.raises(DataError, match=r"sample 33 of input in samples-\w+ has numbers that are not finite"):
            notes(*both)


@pytest.mark.parametrize("place", [3, 50, 96])
def test_a_sample_is_named_by_its_place_in_the_set_that_was_divided(tmp_path, place):
    x = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32)
    x[place, 1] = np.inf
    np.savez(tmp_path / "data.npz", x=x)
    with pytest.raises(DataError, match=rf"sample {place} of x in \S*data\.npz has numbers that are not finite"):
        load(str(tmp_path / "data.npz"))
