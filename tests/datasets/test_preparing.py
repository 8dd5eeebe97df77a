from __future__ import annotations

import numpy as np
import pytest

from bitpick.datasets import preparing
from bitpick.datasets.dataset import Dataset, Split
from bitpick.datasets.options import DataOptions, checked
from bitpick.errors import DataError
from bitpick.models.model import Signature, Tensor
from bitpick.preprocessing import Preprocessing
from tests.datasets.conftest import takes


def dataset(folder, array) -> Dataset:
    np.save(folder / "a.npy", array)
    split = Split({"x": folder / "a.npy"}, None, "1")
    return Dataset("set", (), split, split)


def prepared(folder, array, signature, **said) -> tuple[np.ndarray, tuple[str, ...]]:
    found = preparing.with_preprocessing(dataset(folder, array), checked(said), signature)
    return found.preprocessing["x"](array), found.notes


PIXELS = np.random.default_rng(0).integers(0, 256, (5, 4, 6, 3), dtype=np.uint8)


def test_nothing_said_hands_over_raw_values_and_says_so(tmp_path):
    found, notes = prepared(tmp_path, PIXELS, takes(4, 6, 3))
    np.testing.assert_array_equal(found, PIXELS)
    assert notes == ("values go to the model as they are, 0 to 255: guessed, --scale, --mean and --std override it",)


def test_floats_that_fit_are_nothing_to_speak_of(tmp_path):
    found, notes = prepared(tmp_path, PIXELS / np.float32(255), takes(4, 6, 3))
    np.testing.assert_allclose(found, PIXELS / np.float32(255))
    assert notes == ()


def test_scale_then_mean_then_std(tmp_path):
    found, _ = prepared(tmp_path, PIXELS, takes(4, 6, 3), scale="255", mean="0.1,0.2,0.3", std="0.5")
    np.testing.assert_allclose(found, (PIXELS / 255 - [0.1, 0.2, 0.3]) / 0.5, atol=1e-5)


def test_small_means_of_bytes_are_of_values_from_0_to_1(tmp_path):
    found, notes = prepared(tmp_path, PIXELS, takes(4, 6, 3), mean="0.1,0.2,0.3", std="0.5")
    np.testing.assert_allclose(found, (PIXELS / 255 - [0.1, 0.2, 0.3]) / 0.5, atol=1e-5)
    assert "divided by 255" in notes[0]


def test_means_of_bgr_are_in_that_order(tmp_path):
    found, _ = prepared(tmp_path, PIXELS, takes(4, 6, 3), mean="103,116,123", channels="bgr")
    np.testing.assert_allclose(found, PIXELS[..., ::-1] - np.array([103.0, 116, 123]), atol=1e-4)


FIRST = PIXELS.transpose(0, 3, 1, 2)


@pytest.mark.parametrize(
    ("stored", "shape", "expected"),
    [(PIXELS, (3, 4, 6), FIRST), (FIRST, (4, 6, 3), PIXELS), (FIRST, (3, 4, 6), FIRST)],
    ids=["to the front", "to the end", "as they are"],
)
@pytest.mark.parametrize("mean", [None, "1,2,3"])
def test_channels_go_where_the_model_takes_them(tmp_path, stored, shape, expected, mean):
    found, notes = prepared(tmp_path, stored, takes(*shape), mean=mean, scale="1")
    if mean is not None:
        expected = expected - np.array([1, 2, 3]).reshape((3, 1, 1) if shape[0] == 3 else 3)
    np.testing.assert_allclose(found, expected)
    assert [note.partition(":")[0] for note in notes] == {
        (PIXELS.shape, (3, 4, 6)): ["channels moved to the front"],
        (FIRST.shape, (4, 6, 3)): ["channels moved to the end"],
    }.get((stored.shape, shape), [])


@pytest.mark.parametrize(("stored", "shape"), [((28, 28), (28, 28, 1)), ((784,), (1, 28, 28)), ((4, 1), (4,))])
def test_numbers_are_arranged_as_the_model_takes_them(tmp_path, stored, shape):
    array = np.random.default_rng(0).normal(size=(3, *stored)).astype(np.float32)
    found, notes = prepared(tmp_path, array, takes(*shape))
    np.testing.assert_array_equal(found, array.reshape(3, *shape))
    assert "arranged as the model takes them" in notes[0]


def test_as_many_numbers_as_channels(tmp_path):
    with pytest.raises(DataError, match="--mean has 2 numbers, and the samples have 3 channels"):
        prepared(tmp_path, PIXELS, takes(4, 6, 3), mean="1,2")


def test_inputs_are_paired_by_name_else_in_order():
    two = Signature((Tensor("a", (1,)), Tensor("b", (2,))), ())
    assert {n: t.name for n, t in preparing.match_inputs(("b", "c", "a"), two).items()} == {"a": "a", "b": "b"}
    assert {n: t.name for n, t in preparing.match_inputs(("x", "y"), two).items()} == {"x": "a", "y": "b"}
    assert preparing.match_inputs(("x",), two) == {}


@pytest.mark.parametrize(
    ("said", "shape", "expected"),
    [
        ({}, (32, 48, 3), (32, 48, 3, "stretch", None)),
        ({}, (1, 32, 48), (32, 48, 1, "stretch", None)),
        ({}, (3, 32, 48), (32, 48, 3, "stretch", None)),
        ({"resize": "64"}, (32, 48, 3), (32, 48, 3, "crop", 64)),
        ({"resize": "256", "crop": "224"}, (None, None, 3), (224, 224, 3, "crop", 256)),
        ({"resize": "32x48"}, (None, None, 3), (32, 48, 3, "stretch", None)),
        ({"resize": "40"}, (None, None, None), (40, 40, 3, "stretch", None)),
        ({"fit": "pad"}, (32, 48, 3), (32, 48, 3, "pad", None)),
        ({"fit": "crop"}, (32, 48, 3), (32, 48, 3, "crop", None)),
        ({"channels": "gray", "resize": "8x8"}, (None, None, None), (8, 8, 1, "stretch", None)),
    ],
)
def test_pictures_get_the_size_that_the_model_takes(said, shape, expected):
    found = preparing.decoding(checked(said), takes(*shape).inputs[0])
    assert (found.height, found.width, found.channels, found.fit, found.resize) == expected


@pytest.mark.parametrize(
    ("said", "shape", "says"),
    [
        ({}, (None, None, 3), "nothing says what size the pictures get"),
        ({"layout": "channels-first"}, (32, 48, 3), "leave --layout out, or say channels-last"),
        ({}, (32, 48, 4), "pictures of 4 channels"),
        ({"resize": "20", "crop": "30"}, (30, 30, 3), "leaves no middle of 30 × 30"),
        ({"resize": "20x20"}, (30, 30, 3), "is not the size 30x30 that the model takes"),
    ],
)
def test_sizes_that_cannot_be(said, shape, says):
    with pytest.raises(DataError) as error:
        preparing.decoding(checked(said), takes(*shape).inputs[0])
    assert says in str(error.value)


def test_a_model_that_takes_no_pictures():
    with pytest.raises(DataError, match=r"the model takes image \(batch, 7\) float32"):
        preparing.picture_input(takes(7))
    assert preparing.picture_input(None) is None
    assert DataOptions().pixels("x") == DataOptions()
    assert Preprocessing() == Preprocessing(shape=None)
