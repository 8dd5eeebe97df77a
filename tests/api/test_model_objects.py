from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bitpick
from bitpick import Recipe, Source
from bitpick.api import model_objects
from bitpick.datasets.load import data_source
from bitpick.errors import ModelError
from tests.conftest import linear_model

IMAGES = np.random.default_rng(0).random((60, 3, 8, 8), dtype=np.float32)
LABELS = np.arange(60) % 3


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BITPICK_CACHE", str(tmp_path / "cache"))


def test_a_path_is_itself():
    read = data_source((IMAGES, LABELS))
    assert model_objects.source_of("m.onnx", read) == Source("m.onnx")
    assert model_objects.source_of(Path("m.onnx"), read) == Source("m.onnx")
    assert model_objects.source_of(Source("m.pt2", trusted=True), read) == Source("m.pt2", trusted=True)


def test_what_is_no_model_is_named():
    with pytest.raises(ModelError, match=r"builtins\.list"):
        model_objects.source_of([1, 2], data_source((IMAGES, LABELS)))


def test_a_recipe_is_named_by_itself():
    recipe = Recipe.parse("onnxruntime:s8u8-per_channel-minmax")
    assert Recipe.named(recipe) is recipe


def test_samples_that_can_be_gone_through_once_are_enough(tmp_path):
    model = linear_model(tmp_path / "m.onnx", shape=(3, 8, 8))
    once = (pair for pair in zip(IMAGES, LABELS, strict=True))
    assert bitpick.evaluate(model, once).accuracy.total == 48  # four fifths


MODULE = """
import numpy as np, torch, bitpick
from torch import nn

if __name__ == "__main__":
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    rng = np.random.default_rng(0)
    images = rng.random((90, 3, 8, 8), dtype=np.float32)
    with torch.no_grad():
        labels = net(torch.from_numpy(images)).argmax(1).numpy()
    found = bitpick.compare(
        net, (images, labels), recipes=[bitpick.Recipe.parse("onnxruntime:s8u8-per_channel-minmax+reduced_range")],
        calibration_size=15, bench_seconds=0, targets=["host"], out="run", accept_baseline=True,
    )
    print([(row.id, row.status) for row in found.rows], net.training)
    print(found.run.model.format)
"""


@pytest.mark.frameworks
def test_a_module_and_arrays_are_all_that_it_takes(tmp_path):
    (tmp_path / "script.py").write_text(MODULE)
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows, form = done.stdout.strip().splitlines()[-2:]
    assert "('onnxruntime:s8u8-per_channel-minmax+reduced_range', 'ok')" in rows
    assert rows.endswith("True")  # in the mode that it was in
    assert form == "exported"


KERAS = """
import os
os.environ["KERAS_BACKEND"] = "tensorflow"
import keras, numpy as np, bitpick
from keras import layers

if __name__ == "__main__":
    keras.utils.set_random_seed(0)
    convolution = layers.Conv2D(4, 3, activation="relu")
    net = keras.Sequential([keras.Input((8, 8, 3)), convolution, layers.Flatten(), layers.Dense(3)])
    images = np.random.default_rng(0).random((90, 8, 8, 3)).astype(np.float32)
    labels = np.asarray(net(images)).argmax(1)
    folder = bitpick.quantize(
        net, "onnxruntime:s8u8-per_channel-minmax", "build", (images, labels), calibration_size=15, accept_baseline=True
    )
    print(bitpick.evaluate("build", (images, labels)).accuracy.value > 0.8)
"""


@pytest.mark.frameworks
def test_so_are_a_keras_model_and_arrays(tmp_path):
    (tmp_path / "script.py").write_text(KERAS)
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "True"
