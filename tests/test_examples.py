"""The examples in docstrings, run."""

from __future__ import annotations

import doctest
import importlib

import numpy as np
import onnx
import pytest

import bitpick
from tests.conftest import linear_model

MODULES = ("bitpick", "bitpick.api.builds", "bitpick.api.comparing", "bitpick.recipe", "bitpick.api.runs")


@pytest.mark.frameworks
@pytest.mark.parametrize("name", MODULES)
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BITPICK_CACHE", str(tmp_path / "cache"))
    model = linear_model(tmp_path / "model.onnx", shape=(4, 4, 3))
    images = np.random.default_rng(0).integers(0, 256, (400, 4, 4, 3), dtype=np.uint8)
    stored = {i.name: onnx.numpy_helper.to_array(i) for i in onnx.load(model).graph.initializer}
    labels = (images.reshape(400, -1).astype(np.float32) @ stored["w"] + stored["b"]).argmax(1)
    given = {"bitpick": bitpick, "model": str(model), "images": images, "labels": labels}
    done = doctest.testmod(importlib.import_module(name), extraglobs=given, optionflags=doctest.ELLIPSIS)
    assert done.attempted > 0
    assert done.failed == 0
