from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest

import bitpick
from bitpick.api import comparing
from bitpick.errors import RequestError
from bitpick.schema.settings import Settings
from tests.conftest import linear_model

IMAGES = np.random.default_rng(0).random((60, 4, 4, 3), dtype=np.float32)


@pytest.mark.parametrize(
    ("model", "data", "name"),
    [
        ("models/my.net.onnx", "cifar10", "my.net-cifar10-01234567"),
        ("/a/saved_model", "/b/photos", "saved_model-photos-01234567"),
        ("nets:build", "photos/.", "nets-build-photos-01234567"),
    ],
)
def test_a_run_without_a_place_is_named_after_its_model_its_data_and_its_request(model, data, name):
    assert comparing.default_folder(model, data, "0123456789") == Path("runs") / name


@pytest.mark.parametrize("lacks", [None, "keras", "tf2onnx"])
def test_the_bundled_model_is_one_that_can_be_read_here(monkeypatch, lacks):
    monkeypatch.setattr(comparing, "installed_version", lambda name: None if name == lacks else "1")
    found = comparing.bundled_model()
    assert found.is_file()
    assert found.suffix == (".onnx" if lacks else ".keras")


@pytest.mark.parametrize(
    ("options", "kind", "says"),
    [
        ({"alhpa": 0.1}, TypeError, "no option 'alhpa': did you mean alpha"),
        ({"alpha": 0.7}, RequestError, "the level 0.7 is out of range"),
        ({"recipes": ["onnxruntime:s8u8"]}, RequestError, "needs a granularity"),
        ({"targets": ["x86-avx3"]}, RequestError, "x86-avx3"),
    ],
)
def test_a_wrong_request_leaves_nothing(tmp_path, monkeypatch, options, kind, says):
    model = linear_model(tmp_path / "m.onnx")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("BITPICK_CACHE", str(tmp_path / "cache"))
    with pytest.raises(kind) as error:
        bitpick.compare(model, IMAGES, **options)
    assert says in str(error.value)
    assert list((tmp_path / "work").iterdir()) == []


def test_a_single_option_goes_before_the_settings(tmp_path, monkeypatch):
    asked = []

    def stop(source, data, settings, *_):
        asked.append(settings)
        raise RequestError("far enough")

    monkeypatch.setattr(comparing, "make_request", stop)
    monkeypatch.setenv("BITPICK_CACHE", str(tmp_path / "cache"))
    mine = Settings().but(seed=3, alpha=0.01)
    with pytest.raises(RequestError, match="far enough"):
        bitpick.compare(linear_model(tmp_path / "m.onnx"), IMAGES, mine, seed=4)
    assert asked == [Settings().but(seed=4, alpha=0.01)]


def test_help_shows_options_and_not_that_there_are_some():
    parameters = inspect.signature(bitpick.compare).parameters
    assert "options" not in parameters
    assert parameters["alpha"].default == Settings().claims.alpha
