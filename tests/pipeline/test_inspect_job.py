"""What is looked at in builds, called here; the conformance tests do it for every engine."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from bitpick.datasets.dataset import Samples
from bitpick.engines.onnxruntime.engine import _OnnxRuntimeSession
from bitpick.pipeline.build_job import build
from bitpick.pipeline.inspect_job import check_rewriting, inspect
from bitpick.recipe import Recipe
from bitpick.tasks.classification import Classification

RECIPE = Recipe.parse("onnxruntime:s8u8-per_channel-minmax")
BASELINE = Recipe.parse("onnxruntime:float32")
TASK = Classification(classes=("a", "b", "c"))


@pytest.fixture
def samples(tmp_path):
    generator = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", generator.normal(size=(60, 8)).astype(np.float32))
    np.save(tmp_path / "y.npy", generator.integers(0, 3, 60))
    return Samples(inputs=(tmp_path / "x.npy",), labels=tmp_path / "y.npy", count=60, sha256="0")


@pytest.fixture
def folder(tmp_path, samples):
    """The float32 build of a layer of three outputs."""
    weight = np.random.default_rng(1).normal(size=(8, 3)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="layer")],
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(weight, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "m.onnx")
    build(tmp_path / "m.onnx", BASELINE, samples, None, tmp_path / "build")
    return tmp_path / "build"


def test_a_build_is_run_with_and_without_the_rewriting_of_its_runtime(folder, samples):
    found = check_rewriting(BASELINE, folder, samples, 1, TASK, [(3,)])
    assert (found.samples, found.flips) == (60, 0)
    assert found.correct == found.correct_optimized > 0


def test_a_rewriting_that_changes_answers_is_counted(folder, samples, monkeypatch):
    """A runtime that would exchange two columns as it rewrites a graph."""
    real = _OnnxRuntimeSession.__init__

    def opened(self, made, settings):
        real(self, made, settings)
        if settings.optimize:
            outputs = self.outputs
            self.outputs = lambda native: tuple(each[:, [1, 0, 2]] for each in outputs(native))

    monkeypatch.setattr(_OnnxRuntimeSession, "__init__", opened)
    found = check_rewriting(BASELINE, folder, samples, 1, TASK, [(3,)])
    assert found.flips > 20
    assert found.correct != found.correct_optimized


def test_what_a_runtime_executes_is_told_of_a_build(folder, samples):
    found = inspect(BASELINE, folder, samples, 1, [(3,)])
    assert found.weight_bytes == 8 * 3 * 4
    assert found.fingerprint.weights.dtype == "float32"
