from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from bitpick.conversion import canonical_onnx, onnx_passes
from bitpick.conversion import onnx_maker as module
from bitpick.errors import ConversionError
from bitpick.source import Kind, Source

RNG = np.random.default_rng(0)


def save(path, nodes, inputs, outputs, stored, elements=TensorProto.FLOAT):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, elements, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, elements, shape) for name, shape in outputs.items()],
        [onnx.numpy_helper.from_array(array, name) for name, array in stored.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture
def half(tmp_path):
    """A net in float16 throughout, with a cast and a constant in the middle."""
    constant = onnx.numpy_helper.from_array(np.float16(0.5))
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Constant", [], ["c"], value=constant),
        helper.make_node("Mul", ["a", "c"], ["b"]),
        helper.make_node("Cast", ["b"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Relu", ["f"], ["r"]),
        helper.make_node("Cast", ["r"], ["y"], to=TensorProto.FLOAT16),
    ]
    stored = {"w": RNG.normal(size=(6, 3)).astype(np.float16)}
    return save(tmp_path / "half.onnx", nodes, {"x": ["n", 6]}, {"y": ["n", 3]}, stored, TensorProto.FLOAT16)


def made(path, tmp_path):
    source = Source(str(path))
    maker = source.maker()
    assert maker is not None
    assert source.kind() is Kind.OTHER_ONNX
    module.make(str(tmp_path / "made.onnx"), **maker.options)
    return tmp_path / "made.onnx"


def test_half_precision_becomes_float32(half, tmp_path):
    path = made(half, tmp_path)
    assert Source(str(path)).kind() is Kind.ONNX
    x = RNG.normal(size=(5, 6)).astype(np.float16)
    (before,) = ReferenceEvaluator(str(half)).run(None, {"x": x})
    canonical_onnx.convert(str(path), str(tmp_path / "clean.onnx"))
    (after,) = ReferenceEvaluator(str(tmp_path / "clean.onnx")).run(None, {"x": x.astype(np.float32)})
    assert after.dtype == np.float32
    np.testing.assert_allclose(after, before.astype(np.float32), atol=1e-2)


def test_a_model_without_a_batch_axis_gets_one(tmp_path):
    nodes = [
        helper.make_node("Unsqueeze", ["x", "zero"], ["u"]),
        helper.make_node("Conv", ["u", "w"], ["c"]),
        helper.make_node("GlobalAveragePool", ["c"], ["p"]),
        helper.make_node("Reshape", ["p", "shape"], ["y"]),
    ]
    stored = {
        "zero": np.array([0]),
        "w": RNG.normal(size=(2, 3, 3, 3)).astype(np.float32),
        "shape": np.array([2]),
    }
    path = save(tmp_path / "one.onnx", nodes, {"x": [3, 8, 8]}, {"y": [2]}, stored)
    clean = tmp_path / "clean.onnx"
    canonical_onnx.convert(str(made(path, tmp_path)), str(clean))
    x = RNG.normal(size=(3, 8, 8)).astype(np.float32)
    (before,) = ReferenceEvaluator(str(path)).run(None, {"x": x})
    (after,) = ReferenceEvaluator(str(clean)).run(None, {"x": x[None]})
    np.testing.assert_allclose(after, before[None], atol=1e-5)


def test_a_rewrite_that_changes_the_model_is_an_error(half, tmp_path, monkeypatch):
    right = onnx_passes.to_float32

    def wrong(model):
        right(model)
        model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(np.zeros((6, 3), np.float32), "w"))

    monkeypatch.setattr(module.onnx_passes, "to_float32", wrong)
    with pytest.raises(ConversionError, match="computes something else in float32"):
        made(half, tmp_path)
