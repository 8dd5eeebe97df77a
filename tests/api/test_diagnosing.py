from __future__ import annotations

import numpy as np
import pytest

import bitpick
from bitpick.errors import RequestError
from tests.conftest import linear_model

IMAGES = np.random.default_rng(0).random((60, 4, 4, 3), dtype=np.float32)
LABELS = np.arange(60) % 4
RECIPE = "onnxruntime:s8u8-per_channel-minmax"


@pytest.mark.parametrize(
    ("recipe", "options", "says"),
    [
        ("onnxruntime:float32", {}, "nothing to diagnose"),
        (bitpick.Recipe.parse("onnxruntime:float32"), {}, "nothing to diagnose"),
        ("onnxruntime:s8", {}, "is not a recipe"),
        (RECIPE, {"samples": 0}, "the number of samples 0 is out of range"),
        (RECIPE, {"layers": 0}, "the number of layers 0 is out of range"),
        (RECIPE, {"timeout": 0}, "the timeout 0 is out of range"),
        (RECIPE, {"memory_limit": -1}, "the memory limit -1 is out of range"),
        (RECIPE, {"seed": -1}, "the seed -1 is negative"),
    ],
)
def test_a_wrong_request_leaves_nothing(tmp_path, monkeypatch, recipe, options, says):
    model = linear_model(tmp_path / "m.onnx")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("BITPICK_CACHE", str(tmp_path / "cache"))
    with pytest.raises(RequestError) as error:
        bitpick.diagnose(model, recipe, (IMAGES, LABELS), **options)
    assert says in str(error.value)
    assert list((tmp_path / "work").iterdir()) == []
