"""Working directories for commands."""

from __future__ import annotations

import shutil

import numpy as np
import onnx
import pytest
from PIL import Image

from tests.commands import photos
from tests.commands.photos import CLASSES, SHAPE
from tests.conftest import linear_model


@pytest.fixture
def place(request, tmp_path, fake_distribution, pictures, monkeypatch):
    """An empty working directory, a linear model and its pictures outside it, and the fake engine installed."""
    for name in ("linear.onnx", "pictures.yaml"):
        shutil.copyfile(pictures / name, tmp_path / name)
    if "cifar10" not in request.fixturenames:
        monkeypatch.setenv("BITPICK_CACHE", str(pictures / "cache"))
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@pytest.fixture
def album(tmp_path, fake_distribution, monkeypatch):
    """A working directory with a model that knows its pictures, in folders of classes and as arrays."""
    model = onnx.load(linear_model(tmp_path / "model.onnx", SHAPE, len(CLASSES)))
    weight = onnx.numpy_helper.to_array(model.graph.initializer[0])

    def raw(pixels: np.ndarray) -> np.ndarray:
        return pixels.reshape(len(pixels), -1).astype(np.float32) @ weight

    # As many of each class, about: the bias takes off what is there on average.
    sample = (np.random.default_rng(0).integers(0, 256, (500, *SHAPE)) * np.linspace(0.3, 1, 3)).astype(np.uint8)
    middle = (-raw(sample).mean(axis=0)).astype(np.float32)
    model.graph.initializer[1].CopyFrom(onnx.numpy_helper.from_array(middle, "b"))
    work = tmp_path / "work"
    work.mkdir()
    onnx.save(model, work / "model.onnx")
    pixels, labels = photos.pictures(lambda pixels: raw(pixels) + middle)
    for number, (picture, label) in enumerate(zip(pixels, labels, strict=True)):
        folder = work / "photos" / CLASSES[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / f"{number:03}.png")
    np.savez(work / "set.npz", image=pixels, labels=labels)
    np.savez(work / "unlabelled.npz", image=pixels)
    np.savez(work / "first.npz", image=pixels.transpose(0, 3, 1, 2), labels=labels)
    np.savez(work / "lists.npz", image=pixels, classes_of_them=labels)
    monkeypatch.setenv("BITPICK_CACHE", str(tmp_path / "cache"))
    return work
