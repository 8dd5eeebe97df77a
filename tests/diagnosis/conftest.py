"""Models with a layer that is bad to quantize, and a diagnosis with the fake engine, in this process."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from bitpick.datasets.dataset import Dataset
from bitpick.diagnosis.diagnose import Diagnosing
from bitpick.diagnosis.request import make_diagnosis
from bitpick.pipeline import directory as stores
from bitpick.pipeline.directory import RunDirectory
from bitpick.pipeline.listener import Silent
from bitpick.pipeline.request import new_run
from bitpick.recipe import Recipe
from bitpick.schema.groups import Calibration
from bitpick.targets.host import this_host
from tests.conftest import CLASSES, SIDE, split
from tests.recording import RecordingExecutor

WIDTH = 16


def network(path: Path, sabotage: str = "") -> list[np.ndarray]:
    """Three Gemms, of which the middle one may be sabotaged; what the model computes is the same all the same.

    Args:
        path: the file.
        sabotage: `channel`: one output has weights a thousand times the others', and is always 0 behind its ReLU;
            `inputs`: one input is always 0, and has such a weight to every output.

    Returns:
        Weights and biases, one after the other.
    """
    rng = np.random.default_rng(0)
    sizes = (SIDE * SIDE * 3, WIDTH, WIDTH, len(CLASSES))
    arrays: list[np.ndarray] = []
    for taken, given in pairwise(sizes):
        arrays += [rng.normal(size=(taken, given)) / np.sqrt(taken), rng.normal(size=given)]
    arrays[0] /= 100
    if sabotage == "channel":
        arrays[2][:, 3] *= 1000
        arrays[3][3] = -1e5
    if sabotage == "inputs":
        arrays[1][3] = -1e3
        arrays[2][3] = 1000
    arrays = [a.astype(np.float32) for a in arrays]
    nodes = [helper.make_node("Flatten", ["image"], ["x0"], "net/flatten/Flatten")]
    for place, layer in enumerate("abc"):
        last = layer == "c"
        taken, given = f"x{place}", "scores" if last else f"y{place}"
        nodes.append(helper.make_node("Gemm", [taken, f"w{place}", f"b{place}"], [given], f"net/{layer}/Gemm"))
        if not last:
            nodes.append(helper.make_node("Relu", [given], [f"x{place + 1}"], f"net/{layer}/Relu"))
    names = [f"{kind}{place}" for place in range(3) for kind in "wb"]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", len(CLASSES)])],
        [onnx.numpy_helper.from_array(a, n) for a, n in zip(arrays, names, strict=True)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return arrays


def labelled(folder: Path, arrays: list[np.ndarray], count: int = 800) -> Dataset:
    """Random images with the labels that a network gives them, mostly."""
    rng = np.random.default_rng(1)

    def make(name: str, size: int):
        images = rng.integers(0, 256, (size, SIDE, SIDE, 3), dtype=np.uint8)
        x = images.reshape(size, -1).astype(np.float32)
        for place in range(3):
            x = x @ arrays[2 * place] + arrays[2 * place + 1]
            x = np.maximum(x, 0) if place < 2 else x
        labels = x.argmax(1)
        wrong = rng.random(size) < 0.1
        labels[wrong] = rng.integers(0, len(CLASSES), wrong.sum())
        return split(folder, name, images, labels.astype(np.uint8))

    return Dataset("tiny", CLASSES, calibration=make("train", 200), evaluation=make("test", count))


@pytest.fixture
def diagnose(fake_engine, tmp_path):
    """Run a diagnosis; returns what is in its run.json, and keeps its store and its executor."""

    def run(recipe, sabotage="", stop_at="", out="run", samples=400, layers=24, apply=False):
        model = tmp_path / f"network-{sabotage or 'clean'}.onnx"
        arrays = network(model, sabotage)
        (tmp_path / "data").mkdir(exist_ok=True)
        data = labelled(tmp_path / "data", arrays)
        parsed = Recipe.named(recipe)
        # The network says one class nearly always, which is what most of the samples are.
        said = {"samples": samples, "calibration": Calibration(50), "accept_baseline": True}
        request, form = make_diagnosis(model, "tiny", parsed, recipe, **said)
        store = RunDirectory(tmp_path / out, new_run(request, form, this_host(), 1, "diagnose"))
        executor = RecordingExecutor(stop_at)
        run.store, run.executor = store, executor
        diagnosing = Diagnosing(store, this_host(), executor, 1, Silent())
        diagnosing.diagnose(parsed, lambda _: data, most_layers=layers, apply=apply)
        return stores.read(store.root)

    return run
