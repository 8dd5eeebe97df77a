from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from bitpick.conversion import float64

X = np.random.default_rng(0).normal(size=(6, 2, 9, 9)).astype(np.float32)


def model(*nodes, batch="n", **stored):
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, *X.shape[1:]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * X.ndim)],
        [numpy_helper.from_array(np.asarray(each), name) for name, each in stored.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_weights_constants_and_casts_are_widened():
    constant = helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.float32(0.1), "c"))
    nodes = [
        constant,
        helper.make_node("Mul", ["x", "c"], ["a"]),
        helper.make_node("Cast", ["a"], ["b"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["b", "w"], ["y"]),
    ]
    (found,) = float64.run(model(*nodes, w=np.float32(0.3)), [X])
    assert found.dtype == np.float64
    np.testing.assert_array_equal(
        found, X.astype(np.float64) * np.float64(np.float32(0.1)) + np.float64(np.float32(0.3))
    )


def test_erf_is_exact():
    from scipy.special import erf

    (found,) = float64.run(model(helper.make_node("Erf", ["x"], ["y"])), [X])
    np.testing.assert_array_equal(found, erf(X.astype(np.float64)))


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_shape": [3, 3], "strides": [2, 2]},
        {"kernel_shape": [3, 2], "pads": [1, 0, 2, 1]},
        {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1},
        {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
        {"kernel_shape": [2, 2], "dilations": [2, 2]},
    ],
)
def test_max_pooling_is_that_of_onnxruntime(options):
    import onnxruntime as ort

    made = model(helper.make_node("MaxPool", ["x"], ["y"], **options))
    (expected,) = ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"x": X})
    np.testing.assert_array_equal(float64.run(made, [X])[0], expected)


@pytest.mark.parametrize("batch", ["n", 4])
def test_samples_are_run_in_pieces_that_the_graph_takes(batch, tmp_path):
    onnx.save(model(helper.make_node("Neg", ["x"], ["y"]), batch=batch), tmp_path / "net.onnx")
    (found,) = float64.for_samples(tmp_path / "net.onnx", [X])
    np.testing.assert_array_equal(found, -X.astype(np.float64))


def test_what_takes_too_long_is_run_for_the_first_samples(tmp_path, monkeypatch):
    monkeypatch.setattr(float64, "_SECONDS", -1.0)
    onnx.save(model(helper.make_node("Neg", ["x"], ["y"])), tmp_path / "net.onnx")
    assert len(float64.for_samples(tmp_path / "net.onnx", [X])[0]) == 4
