from __future__ import annotations

import numpy as np
import pytest

from bitpick.datasets import options, preparing
from bitpick.datasets.options import DataOptions
from bitpick.errors import DataError
from bitpick.preprocessing import Preprocessing
from tests.datasets.conftest import takes


def test_words_of_the_command_line():
    found = options.checked(
        {"resize": "256", "crop": "224x320", "scale": "255", "mean": "0.5,0.25,1/8", "std": "2", "labels": None}
    )
    assert (found.resize, found.crop, found.scale) == (256, (224, 320), 255.0)
    assert (found.mean, found.std) == ((0.5, 0.25, 0.125), 2.0)
    assert found.labels is None
    assert options.checked(found.said) == found


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"resise": "3"}, "did you mean resize?"),
        ({"resize": "0"}, "resize: '0' is not it: a size is above 0"),
        ({"resize": "big"}, "expected: 256, the shorter side, or 224x224"),
        ({"scale": "0"}, "scale and std divide: they are not 0"),
        ({"mean": "a,b"}, "expected: a number, or one for each channel"),
        ({"fit": "zoom"}, "'stretch', 'crop' or 'pad'"),
        ({"split": 1.0}, "above 0, below 1"),
        ({"calibration": "a.npz"}, "calibration and evaluation come together"),
        ({"inputs": 3}, "inputs: 3 is not it"),
    ],
)
def test_what_cannot_be(fields, says):
    with pytest.raises(DataError) as error:
        options.checked(fields)
    assert says in str(error.value)


def test_a_yaml_file_says_it_all_and_its_paths_are_beside_it(tmp_path):
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    (tmp_path / "data.yaml").write_text(
        "data: photos\nclasses: names.txt\nresize: [32, 48]\nmean: [1, 2, 3]\n"
        "preprocessing: {audio: {scale: 32768}}\ninputs: {audio: wave, pair: [a, b]}\n"
    )
    found = options.read(tmp_path / "data.yaml")
    assert found.data == tmp_path / "photos"
    assert found.class_names == ("cat", "dog")
    assert (found.resize, found.mean) == ((32, 48), (1.0, 2.0, 3.0))
    assert found.inputs == {"audio": "wave", "pair": ("a", "b")}
    assert found.pixels("audio").scale == 32768
    assert found.pixels("pair") is found


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- a\n", "holds no options"),
        ("data: [", "cannot be read"),
        ("scale: 3\n", "names no data"),
        ("data: x\nlabel: y\n", "did you mean labels?"),
    ],
)
def test_yaml_that_is_no_description(tmp_path, text, says):
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(DataError) as error:
        options.read(tmp_path / "data.yaml")
    assert says in str(error.value)


@pytest.mark.parametrize(("classes", "says"), [("a,b,a", "have 'a' twice"), ("names.txt", "no file 'names.txt'")])
def test_classes_that_are_none(classes, says):
    with pytest.raises(DataError, match=says):
        _ = DataOptions(classes=classes).class_names


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"scale": "255", "mean": "0.5,0.25,0.125", "std": "0.5"},
        {"channels": "bgr", "mean": "1,2,3"},
        {"resize": "8", "crop": "4x6"},
        {"fit": "pad"},
        {"channels": "gray", "scale": "255"},
    ],
)
def test_a_preprocessing_leads_to_itself_again(said):
    tensor = takes(4, 6, 1 if said.get("channels") == "gray" else 3).inputs[0]

    def prepared(options_: options.PixelOptions):
        how = preparing.decoding(options_, tensor)
        (offset, scale), _ = preparing.offset_and_divisor(options_, np.dtype(np.uint8))
        turned = options_.channels == "bgr"
        return Preprocessing(offset=offset, scale=scale, reverse_channels=turned, decoding=how)

    first = prepared(options.checked(said))
    assert prepared(options.from_preprocessing(first)) == first
